"""Beckon's processes without the second that Python takes to read its modules: forked off one that has read them.

What runs is what `python -m workers.command` runs, in a process of its own that is killed, stopped and waited for like
any other. What starts, and how, is tested with real starts: tests/workers/test_up.py and the journeys.
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

ROOT = Path(__file__).resolve().parent.parent
#: What modules look at when they are read: too late to tell a fork.
TOLD_BEFORE = ("BECKON_CLOCK_OFFSET", "BECKON_SLOT", "PROMETHEUS_MULTIPROC_DIR")

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["workers.command", "workers.engine", "workers.scheduler", "workers.examination", "workers.rehearsal",
     "tasks.executions", "tasks.inbound", "tasks.look_ups", "tasks.trigger_messages", "models.verification"]
)  # fmt: skip


def can_become(environment: Mapping[str, str]) -> bool:
    """Whether a fork would be what a process with this environment is."""
    return not any(environment.get(name) for name in TOLD_BEFORE)


class Fork:
    """`beckon` with these words, as far as it is needed in the shape of `subprocess.Popen`."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        errors: Path,
        stdin: str = "",
        first: Callable[[], None] | None = None,
    ) -> None:
        told = (list(words), dict(environment), str(output), str(errors), stdin, first)
        self._process = _forks.Process(target=_become, args=told)
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
    words: Sequence[str], environment: Mapping[str, str], stdin: str = "", timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """`beckon` with these words, to its end; a real start where a fork would not be the same."""
    if not can_become(environment):
        return subprocess.run(
            [sys.executable, "-m", "workers.command", *words],
            cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="beckon-fork-") as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        fork = Fork(words, environment, output, errors, stdin)
        try:
            code = fork.wait(timeout)
        finally:
            fork.kill()
        return subprocess.CompletedProcess(list(words), code, output.read_text(), errors.read_text())


def _become(
    words: list[str],
    environment: dict[str, str],
    output: str,
    errors: str,
    stdin: str,
    first: Callable[[], None] | None,
) -> None:
    """In the fork: do first what is told, then be the process that was asked for."""
    from workers.command import main

    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((output, 1), (errors, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    sys.argv = ["beckon", *words]
    if first is not None:
        first()
    main()
