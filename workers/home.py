"""One home, one running copy: the checks before a start, and the lock that a running copy holds.

Every failure raises StartupError with one line that says what to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import settings
from workers import generated_secrets

#: With less free space than this, in bytes, the servers would soon fail.
MIN_FREE_BYTES = 300 * 1024 * 1024
#: Free space for the lock files in the folder of the sockets, in bytes.
MIN_RUN_FREE_BYTES = 1024 * 1024
#: Seconds that the remaining programs of a killed copy may take to end.
ORPHANS_TIMEOUT_SECONDS = 32.0
#: Seconds that a copy whose supervisord has ended may hold the lock.
LOCK_TIMEOUT_SECONDS = 35.0
#: The address that the sandbox listens on.
SANDBOX_HOST = "127.0.0.1"


class StartupError(Exception):
    """Raised when Beckon cannot start or stop; the message is one line."""


def make(home: Path) -> None:
    """Create the home's directories; check that they are writable, and that they and the folder of the sockets have
    free space. Raises StartupError."""
    _require_space(home, MIN_FREE_BYTES, "BECKON_HOME")
    _require_space(settings.locate_run_directory(home), MIN_RUN_FREE_BYTES, "the servers' sockets")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / f".probe-{os.getpid()}"
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
        for name in ("logs", "metrics"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartupError(f"BECKON_HOME: {home} is not writable: {error.strerror or error}") from None


def _require_space(folder: Path, needed: int, purpose: str) -> None:
    """Check that there is space in a folder, or in the nearest one above it that exists. Raises StartupError."""
    existing = next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
    volume = os.statvfs(existing)
    free = volume.f_bavail * volume.f_frsize
    if free < needed:
        raise StartupError(f"{purpose}: {free // 2**20} MB are free in {existing}; {needed // 2**20} MB are required")
    if volume.f_files and not volume.f_favail:
        raise StartupError(f"{purpose}: the file system of {existing} has no free inodes: remove files")


def _lock_file(home: Path) -> Path:
    return home / "running.lock"


def find_running_pid(home: Path) -> int | None:
    """Return the process id of the copy that runs on this home, or None."""
    try:
        with open(_lock_file(home), encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return int(_lock_file(home).read_text(encoding="ascii") or 0) or None
    return None


@contextmanager
def hold(home: Path) -> Iterator[bool]:
    """Hold the home's lock; yields whether the previous copy was killed. Raises StartupError."""
    descriptor = os.open(_lock_file(home), os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+", encoding="ascii") as lock:
        _acquire_lock(lock.fileno(), home)
        killed = bool(lock.read().strip())
        _write(lock.fileno(), f"{os.getpid()}\n")
        try:
            yield killed
        finally:
            _write(lock.fileno(), "")


def _acquire_lock(descriptor: int, home: Path) -> None:
    """Take the lock; wait up to LOCK_TIMEOUT_SECONDS for a copy that is ending because its supervisord has ended."""
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_running = _is_listening(settings.locate_run_directory(home) / "supervisor.sock")
            if is_running or time.monotonic() > deadline:
                reason = f"BECKON_HOME: {home} is in use by a running copy (`make down` stops it)"
                raise StartupError(reason) from None
        time.sleep(0.1)


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _find_port_error(host: str, port: int) -> OSError | None:
    """Return the error of listening there, or None if it works."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind, protocol)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def require_port(host: str, port: int) -> None:
    """Check that the dashboard can listen there. Raises StartupError."""
    error = _find_port_error(host, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise StartupError(f"BECKON_PORT: port {port} on {host} is in use; set BECKON_PORT to a free port")
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        raise StartupError(f"BECKON_HOST: {host} is not an address of this machine")
    raise StartupError(f"BECKON_PORT: cannot listen on port {port} of {host}: {error.strerror}")


def choose_sandbox_port(config: settings.Settings) -> int:
    """Return the configured port, or a free one if it is in use and was not set explicitly. Raises StartupError."""
    ours = config.sandbox_port == config.port
    if not ours and _find_port_error(SANDBOX_HOST, config.sandbox_port) is None:
        return config.sandbox_port
    if config.sandbox_port_explicit:
        holder = "BECKON_PORT" if ours else f"another program on {SANDBOX_HOST}"
        raise StartupError(
            f"BECKON_SANDBOX_PORT: port {config.sandbox_port} is in use by {holder}; set it to a free port"
        )
    with closing(socket.create_server((SANDBOX_HOST, 0))) as probe:
        return int(probe.getsockname()[1])


def use_running_port(config: settings.Settings) -> settings.Settings:
    """Return the settings with the port of the copy that runs on this home, unless BECKON_PORT is set: its access.json
    names it where it is served without a proxy."""
    if "BECKON_PORT" in os.environ:
        return config
    url = str(generated_secrets.read(config.home / generated_secrets.ACCESS_FILE).get("url") or "")
    parts = urlsplit(url)
    if parts.port is None or parts.hostname not in ("127.0.0.1", "localhost", "::1", config.host):
        return config
    return config.replace(port=parts.port, url=url)


def _is_listening(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def wait_for_orphans(config: settings.Settings) -> None:
    """Wait until the programs of a killed copy have ended; each ends when its supervisor does."""
    sockets = [config.run / name for name in ("supervisor.sock", "redis.sock", ".s.PGSQL.5432")]
    deadline = time.monotonic() + ORPHANS_TIMEOUT_SECONDS
    while any(_is_listening(path) for path in sockets) or _find_port_error(config.host, config.port) is not None:
        if time.monotonic() > deadline:
            return
        time.sleep(0.1)
