"""Real processes, to be killed: workers and schedulers as supervisord runs them, on the test's own servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from forks import ROOT, Fork, can_become

#: A process that was started.
Program = Fork | subprocess.Popen[bytes]
#: Short, so that a test need not wait for the dead as long as an operator would accept.
LEASE_SECONDS = "3"
#: Where no worker dies, no lease may run out, however busy the machine is.
PATIENT = {"BECKON_LEASE_SECONDS": "30"}
#: How often what was lost is looked for, and how long nobody may have come before a bell counts as lost.
LOOK_EVERY_SECONDS, BELL_PATIENCE_SECONDS = 2.0, 4.0


class Programs:
    """The processes of one test; none outlives it."""

    def __init__(self, logs: Path) -> None:
        #: Whether schedulers look for what was lost more often than they do for an operator.
        self.hurried = True
        self._logs = logs
        self._running: list[Program] = []

    def start(self, *words: str, **environment: str) -> Program:
        """`beckon` with these words, or a program of the tests where the first is a file's name."""
        told = {**os.environ, "BECKON_LEASE_SECONDS": LEASE_SECONDS, "PYTHONPATH": str(ROOT), **environment}
        log = self._logs / f"{len(self._running)}-{words[-1]}.log"
        if words[0] in ("worker", "scheduler") and can_become(told):
            self._running.append(Fork(words, told, log, log, first=_hurry if self.hurried else None))
        else:
            self._running.append(_start(words, told, log))
        return self._running[-1]

    def workers(self, **environment: str) -> dict[str, Program]:
        """One process of each worker program, and a scheduler."""
        names = ("executions", "generation", "sending", "tracking")
        started = {name: self.start("worker", name, **environment) for name in names}
        started["scheduler"] = self.start("scheduler", **environment)
        return started

    def are_at_work(self) -> bool:
        """Whether every one that was started has said so, and would heed a signal."""
        logs = [one.read_text() for one in self._logs.iterdir()]
        return all("worker started" in log or "leading" in log for log in logs)

    def logs(self) -> str:
        """What all of them wrote, for a failing test."""
        return "\n".join(f"== {one.name}\n{one.read_text()[-4000:]}" for one in sorted(self._logs.iterdir()))

    def end(self) -> None:
        """Kill what is left."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def _start(words: tuple[str, ...], told: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    module = [] if words[0].endswith(".py") else ["-m", "workers.command"]
    with open(log, "wb") as opened:
        return subprocess.Popen([sys.executable, *module, *words], cwd=ROOT, stdout=opened, stderr=opened, env=told)


def _hurry() -> None:
    """In a process that was forked off: wait for the lost, not for the hour."""
    from tasks import sweeps
    from workers import scheduler

    sweeps.BELL_PATIENCE_SECONDS = BELL_PATIENCE_SECONDS
    scheduler.DUTIES = tuple(
        replace(one, every_seconds=min(one.every_seconds, LOOK_EVERY_SECONDS))
        if one.name in ("leases", "bells", "look_ups", "callbacks")
        else one
        for one in sweeps.DUTIES
    )
