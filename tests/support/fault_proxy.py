"""Servers of one test that it can stop, empty, fill up and stall, and a proxy to Redis that can stop forwarding."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import redis

from models import migrations
from tests.support import servers as real
from tests.support.waiting import eventually
from workers import embedded


class FaultyServers:
    """A migrated PostgreSQL and a Redis; each can stop and start again with its data on disk."""

    def __init__(self, postgres_options: Mapping[str, str] = real.FAST) -> None:
        # A socket's path may have 107 bytes, and pytest's directories are long.
        self.directory = Path(tempfile.mkdtemp(prefix="beckon-break-"))
        self.servers = embedded.Servers(
            self.directory / "data", self.directory / "run", postgres_options=postgres_options
        )
        self.servers.data.mkdir(mode=0o700)
        embedded.make_cluster(self.servers)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.proxy = FaultProxy(self.directory / "line.sock", self.servers.run / "redis.sock")

    @property
    def admin_url(self) -> str:
        return real.with_database(self.servers.database_url, "postgres")

    @property
    def redis_url(self) -> str:
        """The URL of Redis through the proxy."""
        return f"unix://{self.proxy.path}?db=0"

    def prepare(self) -> None:
        self.start_postgres()
        self.start_redis()
        roles = (f"create role {role} login" for role in real.ROLES)
        real.run_sql(self.admin_url, "create database beckon", *roles)
        migrations.migrate(self.servers.database_url)

    def start_postgres(self) -> None:
        self._start("postgres", embedded.build_postgres_command(self.servers))
        eventually(self.postgres_answers, timeout=30)

    def start_redis(self) -> None:
        self._start("redis", embedded.build_redis_command(self.servers))
        eventually(self._redis_answers, timeout=30)

    def _start(self, name: str, command: list[str]) -> None:
        with open(self.directory / f"{name}.log", "ab") as log:
            self._running[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def stop_postgres(self) -> None:
        """Stop at once: connections are closed, and nothing that was committed is lost."""
        self._stop("postgres", signal.SIGINT)

    @contextlib.contextmanager
    def hang_postgres(self) -> Iterator[None]:
        """Stop every process of PostgreSQL during the block: sockets accept, and nothing is answered."""
        postmaster = int((self.servers.data / "postgres" / "postmaster.pid").read_text().split()[0])
        # The postmaster first: it starts no further process.
        pids = [postmaster, *_stop_children_of(postmaster)]
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def stop_redis(self) -> None:
        self._stop("redis", signal.SIGTERM)

    @contextlib.contextmanager
    def hang_redis(self) -> Iterator[None]:
        """Stop Redis's process for the block: connections stay open, new ones are made, and nothing is answered."""
        self._running["redis"].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running["redis"].send_signal(signal.SIGCONT)

    def _stop(self, name: str, number: int) -> None:
        self._running[name].send_signal(number)
        self._running.pop(name).wait(20)

    def set_read_only(self, enabled: bool) -> None:
        """Refuse writes, as a standby does."""
        real.run_sql(
            self.admin_url,
            "set default_transaction_read_only = off",
            f"alter database beckon set default_transaction_read_only = {'on' if enabled else 'off'}",
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'beckon'",
        )

    def client(self) -> redis.Redis:
        """A client of Redis without the proxy."""
        return redis.Redis.from_url(self.servers.redis_url)

    def postgres_answers(self) -> bool:
        try:
            psycopg2.connect(self.admin_url).close()
        except psycopg2.OperationalError:
            return False
        return True

    def _redis_answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
            return False

    def end(self) -> None:
        """Stop the servers and remove their files."""
        self.proxy.close()
        for name in list(self._running):
            self._stop(name, signal.SIGINT)
        shutil.rmtree(self.directory, ignore_errors=True)


def _stop_children_of(postmaster: int) -> list[int]:
    """Stop a process, then its children; return these."""
    os.kill(postmaster, signal.SIGSTOP)
    children = [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    return children


@dataclass
class _Line:
    """What the connections of a time have in common: whether they move, and whether they were ended instead."""

    moving: threading.Event = field(default_factory=threading.Event)
    dropped: bool = False


class FaultProxy:
    """A socket that forwards every byte to another, except during `stall`: then nothing moves in either direction.
    After `freeze` nothing moves any more on the connections of that moment."""

    #: The answer to the next message in which this word stands, in any case, is lost with its connection.
    unanswered: bytes | None = None

    def __init__(self, path: Path, upstream: Path) -> None:
        self.path, self._upstream = path, upstream
        self._line = _Line()
        self._line.moving.set()
        self._frozen: list[_Line] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def stall(self) -> Iterator[None]:
        """Stop forwarding during the block; the connections stay open."""
        self._line.moving.clear()
        try:
            yield
        finally:
            self._line.moving.set()

    def freeze(self) -> None:
        """Forget the connections of now: both ends keep them open, and new ones work."""
        before, self._line = self._line, _Line()
        self._line.moving.set()
        before.moving.clear()
        self._frozen.append(before)

    def drop_frozen(self) -> None:
        """End the connections that are frozen, as a server's keepalive does after a while; nothing arrives late."""
        for line in self._frozen:
            line.dropped = True
            line.moving.set()
        self._frozen.clear()

    def close(self) -> None:
        self.drop_frozen()
        self._line.moving.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX) as far, contextlib.suppress(OSError):
            far.connect(str(self._upstream))
            line = self._line
            back = threading.Thread(target=self._forward, args=(far, near, line), daemon=True)
            back.start()
            self._forward(near, far, line)
            back.join()

    def _forward(self, source: socket.socket, target: socket.socket, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                line.moving.wait()
                if line.dropped:
                    break
                if self.unanswered and re.search(rb"\b%s\b" % self.unanswered, data, re.IGNORECASE):
                    self.unanswered, self._line, line.dropped = None, _Line(), True
                    self._line.moving.set()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
