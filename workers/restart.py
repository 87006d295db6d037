"""`beckon restart`: replaces the programs of a running copy by the code that is on disk, one after the other.

The dashboard's port stays open and its requests finish (`gunicorn_restart`). Every other program ends in an orderly
way, so its work continues in the next process, and starts again. Nothing is stopped before all of the new code has
loaded here, or while a migration that it needs is pending. Two restarts of one copy come one after the other.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xmlrpc.client import Fault

from models import migrations
from models.database import CONNECTION_ERRORS
from settings import Settings
from workers import forking, home, outages
from workers.child_process import list_children
from workers.home import StartupError
from workers.supervision import Program, Remote

#: What can be restarted, in this order: first what the others send to.
PROGRAMS = ("sandbox", "engine", "tracking", "scheduler", "dashboard")
#: The dashboard loads, twice where another restart is under way, and its old web processes finish their requests.
DASHBOARD_TIMEOUT_SECONDS = 120.0


def restart(config: Settings, names: tuple[str, ...] = PROGRAMS) -> Iterator[str]:
    """Restart these programs; yields each process's name once it runs anew. Raises StartupError."""
    if home.find_running_pid(config.home) is None:
        raise StartupError(f"Beckon is not running in {config.home}; start it with `beckon up`")
    with _wait_for_turn(config.run):
        check_code(config)
        remote = Remote(config.run)
        for name in names:
            for program in remote.list_programs():
                if program.group == "beckon" and program.name.partition("-")[0] == name:
                    _restart_program(remote, program)
                    yield program.name


@contextmanager
def _wait_for_turn(run: Path) -> Iterator[None]:
    """Wait until no other restart of this copy is under way: it would stop what this one starts."""
    directory = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def check_code(config: Settings) -> None:
    """Check that the programs' code loads, and that the database has what it needs. Raises StartupError."""
    pending = _list_pending(config)
    if pending and not migrations.is_post(pending[0]):
        raise StartupError(f"nothing is restarted: {pending[0]} is not applied; run `beckon migrate --pre`")
    try:
        for name in forking.MODULES:
            importlib.import_module(name)
        # Imported by name, as gunicorn imports it: workers and dashboard must not import each other.
        importlib.import_module("dashboard").load_app()
    except Exception as error:
        raise StartupError(f"nothing is restarted: the code does not load: {type(error).__name__}: {error}") from error


def _list_pending(config: Settings) -> list[str]:
    try:
        return migrations.list_pending(config.database_url)
    except migrations.MigrationError as error:
        raise StartupError(f"nothing is restarted: {error}") from None
    except CONNECTION_ERRORS as error:
        raise StartupError(f"nothing is restarted: {outages.explain_postgres(config, error)}") from None


def _restart_program(remote: Remote, program: Program) -> None:
    try:
        if program.state == "RUNNING" and program.name == "dashboard":
            _replace_dashboard(remote, program)
        else:
            remote.restart(program)
    except Fault as fault:
        raise StartupError(f"{program.name} does not start: {fault.faultString}; see {program.log}") from fault


def _replace_dashboard(remote: Remote, program: Program) -> None:
    """Have the dashboard execute itself anew, and wait until only web processes of the new code are left."""
    old = list_children(program.pid)
    remote.send_signal(program, "USR2")
    deadline = time.monotonic() + DASHBOARD_TIMEOUT_SECONDS
    while not (children := list_children(program.pid)) or children & old:
        if time.monotonic() > deadline:
            raise StartupError(f"the dashboard is not replaced yet: see {program.log}")
        time.sleep(0.1)
