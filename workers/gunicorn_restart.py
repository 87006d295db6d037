"""A new dashboard in the place of the old one, on the same port: on SIGUSR2 the first process executes itself anew.

It keeps its process id, so supervisord sees no end, and the listening socket, from which the old web processes accept
while the new code loads. A new web process that can serve ends those of the old code: they accept nothing more, close
their streams and finish their requests.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any

from workers.child_process import list_children

#: The web processes of the old code, as `pid:slot`, separated by commas.
VARIABLE = "BECKON_OLD_WEB_PROCESSES"


def read_old() -> dict[int, int]:
    """Take the old web processes out of the environment: their slots by their process ids."""
    pairs = (pair.partition(":") for pair in os.environ.pop(VARIABLE, "").split(",") if pair)
    return {int(pid): int(slot) for pid, _, slot in pairs}


def select_running(processes: dict[int, int], first_process: int) -> dict[int, int]:
    """Select those that still are children of gunicorn's first process: an id may be another program's by now."""
    children = list_children(first_process)
    return {pid: slot for pid, slot in processes.items() if pid in children}


def defer_signal() -> None:
    """Keep a SIGUSR2 until the dashboard has loaded: before gunicorn handles it, it would end the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})


def accept_signal() -> None:
    """In gunicorn's first process: handle the SIGUSR2 that came meanwhile, and those that come from now on."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})


def execute_anew(server: Any, old: dict[int, int]) -> None:
    """Execute `beckon dashboard` in gunicorn's first process, with its listening sockets; `old` still serve as well."""
    serving = select_running(old, os.getpid()) | {pid: worker.slot for pid, worker in server.WORKERS.items()}
    environment = {
        **os.environ,
        VARIABLE: ",".join(f"{pid}:{slot}" for pid, slot in serving.items()),
        # gunicorn's own names, by which a new first process takes the sockets of the one before.
        "GUNICORN_PID": str(os.getpid()),
        "GUNICORN_FD": ",".join(str(listener.fileno()) for listener in server.LISTENERS),
    }
    defer_signal()
    os.execve(sys.executable, [sys.executable, "-m", "workers.command", "dashboard"], environment)


def end(processes: dict[int, int]) -> None:
    """In a new web process: have the old ones finish their requests and end."""
    for pid in select_running(processes, os.getppid()):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
