"""supervisord forks Beckon's programs from the modules that it has loaded, instead of starting Python for each.

They share the memory of what is loaded, and start at once. All else stays supervisord's: states, signals, back-off,
logs. It opens no connection and starts no thread, so there is nothing that a fork must not inherit; each program makes
its own settings, log, connections and slot of the metrics. A program whose code has changed on disk since, as by an
upgrade, is executed instead, as its command in `supervisord.conf` says.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from supervisor.options import ServerOptions

import logs
from workers import child_process, command

#: The subcommands of `beckon` that are forked. The dashboard is not: gevent must come before all other imports.
FORKED = ("worker", "scheduler", "sandbox")
#: What the programs import, the actors that `worker_process.bind_actors` imports included.
MODULES = (
    "metrics", "sandbox.server", "tasks.executions", "tasks.intake.callbacks", "tasks.intake.tracking_actor",
    "tasks.intake.trigger_messages", "tasks.operators.operation_runner", "tasks.operators.test_run_actor",
    "tasks.steps.help_replies", "tasks.steps.reconciliation", "workers.command", "workers.commands.sandbox",
    "workers.commands.scheduler", "workers.commands.worker", "workers.scheduler", "workers.worker_process",
)  # fmt: skip
#: The slot of the process that only forks: it counts nothing.
SLOT = "programs"
_MODULE = "workers.command"

#: A file's time of change and size.
Stamp = tuple[int, int]


class ForkingOptions(ServerOptions):  # type: ignore[misc]
    """supervisord's options, which also make its calls of the operating system."""

    def __init__(self) -> None:
        super().__init__()
        load()
        #: Those of the metrics, which prometheus_client closes itself when it notices the fork.
        self._loaded_files = _list_files()
        self._stamps = stamp_modules()

    def is_current(self) -> bool:
        """Whether no file of what is loaded has changed since."""
        return all(_stamp(path) == stamp for path, stamp in self._stamps.items())

    def cleanup_fds(self) -> None:
        """Close nothing: whoever started this process has passed it only the standard files."""

    def close_fd(self, fd: int) -> None:
        """Close a file in a new process, except one that a module opened when it was loaded."""
        if fd not in self._loaded_files:
            super().close_fd(fd)

    def execve(self, filename: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """In a new process: run a program of ours that is loaded; execute any other."""
        arguments = find_arguments(argv)
        if arguments is None or not self.is_current():
            super().execve(filename, argv, env)
        else:
            child_process.exit_after(lambda: run_program(arguments, env))


def load() -> None:
    """Import the programs, and keep their pages shared: no collection writes to what is loaded."""
    os.environ["BECKON_SLOT"] = SLOT
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.environ["BECKON_HOME"] + "/metrics"
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def stamp_modules() -> dict[str, Stamp | None]:
    """Stamp the files of the modules that are loaded; None for one that is gone."""
    paths = {path for module in tuple(sys.modules.values()) if (path := getattr(module, "__file__", None))}
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def find_arguments(argv: Sequence[str]) -> list[str] | None:
    """Return the arguments of `beckon` in a program's command if it can be forked; None if it must be executed."""
    arguments = list(argv[argv.index(_MODULE) + 1 :]) if _MODULE in argv else []
    return arguments if sys.platform == "linux" and arguments and arguments[0] in FORKED else None


def run_program(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run `beckon` with these arguments as a new process would: with its own environment, signals and slot."""
    # Not before `load` has set what it reads when it is imported.
    import metrics

    child_process.end_with_parent(environment["SUPERVISOR_PROCESS_NAME"])
    reset_signals()
    # supervisord's own go to its file.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["beckon", *arguments]
    if environment["BECKON_SLOT"].startswith(metrics.PROGRAMS):
        metrics.enter_slot(environment["BECKON_SLOT"])
    try:
        command.main()
    finally:
        logs.flush()


def reset_signals() -> None:
    """Forget the parent's handlers of signals."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def _list_files() -> set[int]:
    """List the numbers of this process's open files."""
    return {int(number) for number in os.listdir("/dev/fd")}
