"""A pgbouncer in transaction mode before the tests' PostgreSQL, and a proxy that counts and changes queries."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest

from tests.support import servers as real
from tests.support.waiting import eventually
from workers import embedded

#: The Debian package installs it in /usr/sbin, which is not on every user's path.
PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed (Debian: pgbouncer)")
#: The setting with which a deployment lets pgbouncer ignore startup parameters.
IGNORE_STARTUP_PARAMETERS = "ignore_startup_parameters = options,extra_float_digits"


def with_socket(url: str, directory: Path, port: int) -> str:
    """The same database and user through another socket."""
    return urlunsplit(urlsplit(url)._replace(query=f"host={directory}&port={port}"))


def parse_socket_path(url: str) -> Path:
    """The socket of the PostgreSQL behind a URL of the tests' own server."""
    return Path(parse_qs(urlsplit(url).query)["host"][0]) / ".s.PGSQL.5432"


@contextmanager
def pooler(url: str, *, ignore_startup_parameters: bool, users: tuple[str, ...] = ()) -> Iterator[str]:
    """Run pgbouncer before the server of `url`; yield the URL through it. All clients share two connections."""
    assert PGBOUNCER is not None
    directory = Path(tempfile.mkdtemp(prefix="beckon-pooler-"))
    names = ("beckon", *real.ROLES, *users)
    (directory / "users.txt").write_text("".join(f'"{name}" ""\n' for name in names))
    (directory / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={parse_socket_path(url).parent}\n[pgbouncer]\npool_mode = transaction\nlisten_addr =\n"
        f"listen_port = 6432\nunix_socket_dir = {directory}\nauth_type = trust\nauth_file = {directory}/users.txt\n"
        f"default_pool_size = 2\nmax_client_conn = 200\nlogfile = {directory}/log\n"
        f"{IGNORE_STARTUP_PARAMETERS if ignore_startup_parameters else ''}\n"
    )
    # It refuses to run as root, as PostgreSQL does.
    command = [*embedded.find_unprivileged_prefix(), PGBOUNCER, "-q", str(directory / "pgbouncer.ini")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pooler_url = with_socket(url, directory, 6432)
    try:
        eventually(lambda: real.answers_sql(pooler_url), timeout=20)
        yield pooler_url
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(directory, ignore_errors=True)


class PostgresProxy:
    """A socket before PostgreSQL's that counts the queries of clients, replaces bytes in them by as many others, and
    forwards everything after `delay_seconds`, as a server so far away would get it."""

    def __init__(self, upstream: Path, replace: tuple[bytes, bytes] = (b"", b"")) -> None:
        assert len(replace[0]) == len(replace[1])
        self.queries = 0
        self.delay_seconds = 0.0
        self._closed = threading.Event()
        self._replace, self._upstream = replace, upstream
        self.directory = Path(tempfile.mkdtemp(prefix="beckon-wire-"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.directory / ".s.PGSQL.5432"))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, url: str) -> str:
        """The same URL through this proxy."""
        return with_socket(url, self.directory, 5432)

    def close(self) -> None:
        self._closed.set()
        self._listener.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX) as far, contextlib.suppress(OSError):
            far.connect(str(self._upstream))
            threading.Thread(target=self._forward, args=(far, near, False), daemon=True).start()
            self._forward(near, far, True)

    def _forward(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if from_client:
                    # One read is one simple query: no query of the tests is longer than the buffer.
                    self.queries += data[:1] == b"Q"
                    data = data.replace(*self._replace) if self._replace[0] else data
                self._closed.wait(self.delay_seconds)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def postgres_proxy(url: str, replace: tuple[bytes, bytes] = (b"", b"")) -> Iterator[PostgresProxy]:
    """Run a proxy to the server of `url` during the block."""
    proxy = PostgresProxy(parse_socket_path(url), replace)
    try:
        yield proxy
    finally:
        proxy.close()
