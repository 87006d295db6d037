"""supervisord as a child process: its environment, its start, its programs' states and its stop.

supervisord.conf defines the programs; this module only controls them. supervisord gets SIGTERM when the process that
started it is killed, and each program when supervisord is killed: nothing outlives `beckon up`.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from models.connection_pools import compute_embedded_limit
from settings import ROOT, Settings
from workers import child_process, embedded
from workers.child_process import ChildProcess
from workers.home import StartupError

#: The repository's supervisord.conf; a link beside this module brings it into the wheel.
CONFIGURATION = Path(__file__).with_name("supervisord.conf").resolve()
#: Seconds in which everything must stop; each program's stopwaitsecs is lower.
STOP_TIMEOUT_SECONDS = 29.0

#: The errors of a call to supervisord when it does not run.
UNREACHABLE = (OSError, xmlrpc.client.Error, ValueError)


@dataclass(frozen=True)
class Program:
    """One process as supervisord reports it; `state` is supervisord's state name (RUNNING, BACKOFF, FATAL, …), and
    `since` when it came into it, in seconds of Unix time: 0 where supervisord does not know."""

    group: str
    name: str
    state: str
    pid: int
    since: int
    log: str

    @property
    def since_at(self) -> datetime | None:
        """When it came into its state."""
        return datetime.fromtimestamp(self.since, UTC) if self.since else None


def build_servers(settings: Settings) -> embedded.Servers:
    """Locate the embedded servers of this home."""
    limit = {"max_connections": str(compute_embedded_limit(settings))}
    return embedded.Servers(data=settings.home, run=settings.run, postgres_options=limit)


def build_environment(settings: Settings) -> dict[str, str]:
    """Build the environment of supervisord and its programs."""
    servers = build_servers(settings)
    none = "false"
    return {
        **os.environ,
        "BECKON_HOME": str(settings.home),
        "BECKON_WORKERS": str(settings.workers),
        "BECKON_SANDBOX_PORT": str(settings.sandbox_port),
        "BECKON_RUN": str(settings.run),
        # supervisord.conf passes each program only the URL that it needs, in place of all three.
        "DATABASE_APP_URL": settings.database_app_url,
        "DATABASE_SERVICE_URL": settings.database_service_url,
        "BECKON_PYTHON": sys.executable,
        "BECKON_GUARD": shlex.join(embedded.build_parent_death_prefix("TERM")),
        "BECKON_POSTGRES": shlex.join(embedded.build_postgres_command(servers)) if settings.embedded_database else none,
        "BECKON_REDIS": shlex.join(embedded.build_redis_command(servers)) if settings.embedded_redis else none,
        "PYTHONUNBUFFERED": "1",
    }


def launch(settings: Settings) -> ChildProcess:
    """Start supervisord in a separate session, with no program running yet. It shares the memory of this process."""
    return child_process.fork(lambda: _run_supervisord(settings))


def _run_supervisord(settings: Settings) -> None:
    child_process.end_with_parent("supervisord")
    os.setsid()
    os.chdir(ROOT)
    os.environ.update(build_environment(settings))
    output = os.open(settings.home / "logs" / "supervisord.out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for number in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    # Not before: it loads the programs, whose modules read the environment.
    from workers import supervisord

    supervisord.main(str(CONFIGURATION), settings)


class Remote:
    """Client of the supervisord of one home."""

    def __init__(self, run: Path) -> None:
        self._url = f"unix://{run}/supervisor.sock"

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, self._url)
        with closing(transport):
            proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
            return getattr(proxy.supervisor, method)(*arguments)

    def is_up(self) -> bool:
        """Whether supervisord answers."""
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except UNREACHABLE:
            return False

    def start(self, *names: str) -> None:
        """Start programs (`group:name`, `group:*`) without waiting for them."""
        for name in names:
            if name.endswith(":*"):
                self._call("startProcessGroup", name.removesuffix(":*"), False)
            else:
                self._call("startProcess", name, False)

    def list_programs(self) -> list[Program]:
        """List every program with its state."""
        return [
            Program(
                info["group"], info["name"], info["statename"], info["pid"], _find_start_of_state(info),
                info["stdout_logfile"],
            )
            for info in self._call("getAllProcessInfo")
        ]  # fmt: skip

    def restart(self, program: Program) -> None:
        """Stop a program in an orderly way if it runs, and start it; returns once it has run for a second."""
        name = f"{program.group}:{program.name}"
        if program.state in ("STARTING", "RUNNING", "BACKOFF"):
            self._call("stopProcess", name)
        self._call("startProcess", name)

    def send_signal(self, program: Program, name: str) -> None:
        """Send a signal to a program's process."""
        self._call("signalProcess", f"{program.group}:{program.name}", name)

    def revive(self) -> list[str]:
        """Restart the programs that supervisord gave up on. Returns their names."""
        failed = [f"{program.group}:{program.name}" for program in self.list_programs() if program.state == "FATAL"]
        self.start(*failed)
        return failed


def _find_start_of_state(info: Mapping[str, Any]) -> int:
    """Return since when a process is in its state: supervisord tells its last start and its last end."""
    if info["statename"] in ("RUNNING", "STARTING"):
        return int(info["start"])
    # A process that could not be started at all has no end after its start.
    return 0 if info["statename"] == "STOPPING" else int(max(info["start"], info["stop"]))


def await_up(process: ChildProcess, remote: Remote, timeout: float = 60.0) -> None:
    """Wait until supervisord answers. Raises StartupError."""
    deadline = time.monotonic() + timeout
    while not remote.is_up():
        if process.poll() is not None or time.monotonic() > deadline:
            raise StartupError("supervisord does not start: see logs/supervisord.out in BECKON_HOME")
        time.sleep(0.02)


def stop(process: ChildProcess) -> bool:
    """Stop supervisord and its programs. Returns False if they had to be killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(STOP_TIMEOUT_SECONDS)
        return False
    return True
