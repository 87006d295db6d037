"""Beckon's processes without the second that Python takes to import the modules: forks of a process that imported them.

A fork runs the same as `python -m workers.command`, in a process of its own that can be killed, stopped and waited for.
Startup itself is tested with real processes: tests/workers/test_up.py and the journeys.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Variables that modules read at import, too early for a fork.
READ_AT_IMPORT = ("BECKON_CLOCK_OFFSET", "BECKON_SLOT", "PROMETHEUS_MULTIPROC_DIR")

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["workers.command", "workers.worker_process", "workers.scheduler", "workers.diagnostics", "workers.demo_session",
     "tasks.executions", "tasks.intake.callbacks", "tasks.intake.tracking_actor", "tasks.steps.reconciliation",
     "tasks.steps.help_replies",
     "tasks.intake.trigger_messages",
     "models.checks.verification"]
)  # fmt: skip


def can_fork(environment: Mapping[str, str]) -> bool:
    """Whether a fork behaves like a new process with this environment."""
    return not any(environment.get(name) for name in READ_AT_IMPORT)


class Fork:
    """`beckon` with these arguments, with the part of `subprocess.Popen`'s interface that the tests use."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        errors: Path,
        stdin: str = "",
        setup: Callable[[], None] | None = None,
    ) -> None:
        process_arguments = (list(arguments), dict(environment), str(output), str(errors), stdin, setup)
        self._process = _forks.Process(target=_run_command, args=process_arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a fork of beckon", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], stdin: str = "", timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run `beckon` with these arguments to its end; in a new process where a fork would behave differently."""
    if not can_fork(environment):
        return subprocess.run(
            [sys.executable, "-m", "workers.command", *arguments],
            cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="beckon-fork-") as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        fork = Fork(arguments, environment, output, errors, stdin)
        try:
            code = fork.wait(timeout)
        finally:
            fork.kill()
        return subprocess.CompletedProcess(list(arguments), code, output.read_text(), errors.read_text())


def _run_command(
    arguments: list[str],
    environment: dict[str, str],
    output: str,
    errors: str,
    stdin: str,
    setup: Callable[[], None] | None,
) -> None:
    """In the fork: call `setup`, then run the command."""
    from workers.command import main

    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((output, 1), (errors, 2)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    sys.argv = ["beckon", *arguments]
    if setup is not None:
        setup()
    main()
