"""Real processes, to be killed: workers and schedulers as supervisord runs them, on the test's own servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.support.forks import ROOT, Fork, can_fork

#: A process that was started.
Program = Fork | subprocess.Popen[bytes]
#: Short, so that a test need not wait for the dead as long as an operator would accept.
LEASE_SECONDS = "3"
#: Where no worker dies, no lease may run out, however busy the machine is.
LONG_LEASE = {"BECKON_LEASE_SECONDS": "30"}
#: How often what was lost is looked for, and how long nobody may have come before a bell counts as lost.
SWEEP_INTERVAL_SECONDS, NOTIFICATION_TIMEOUT_SECONDS = 2.0, 4.0


class Programs:
    """The processes of one test; none outlives it."""

    def __init__(self, logs: Path) -> None:
        #: Whether schedulers look for what was lost more often than they do for an operator.
        self.fast_sweeps = True
        self._logs = logs
        self._running: list[Program] = []

    def start(self, *arguments: str, **environment: str) -> Program:
        """`beckon` with these words, or a program of the tests where the first is a file's name."""
        env = {**os.environ, "BECKON_LEASE_SECONDS": LEASE_SECONDS, "PYTHONPATH": str(ROOT), **environment}
        log = self._logs / f"{len(self._running)}-{arguments[-1]}.log"
        if arguments[0] in ("worker", "scheduler") and can_fork(env):
            self._running.append(Fork(arguments, env, log, log, setup=_shorten_intervals if self.fast_sweeps else None))
        else:
            self._running.append(_start(arguments, env, log))
        return self._running[-1]

    def start_workers(self, **environment: str) -> dict[str, Program]:
        """One process of each worker program, and a scheduler."""
        names = ("executions", "generation", "sending", "tracking")
        started = {name: self.start("worker", name, **environment) for name in names}
        started["scheduler"] = self.start("scheduler", **environment)
        return started

    def are_ready(self) -> bool:
        """Whether every one that was started has said so, and would heed a signal."""
        logs = [path.read_text() for path in self._logs.iterdir()]
        return all("worker started" in log or "leading" in log for log in logs)

    def read_logs(self) -> str:
        """What all of them wrote, for a failing test."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self._logs.iterdir()))

    def end(self) -> None:
        """Kill what is left."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def _start(arguments: tuple[str, ...], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    module = [] if arguments[0].endswith(".py") else ["-m", "workers.command"]
    with open(log, "wb") as opened:
        return subprocess.Popen([sys.executable, *module, *arguments], cwd=ROOT, stdout=opened, stderr=opened, env=env)


def _shorten_intervals() -> None:
    """In a process that was forked off: wait for the lost, not for the hour."""
    from tasks import periodic_jobs
    from workers import scheduler

    periodic_jobs.NOTIFICATION_TIMEOUT_SECONDS = NOTIFICATION_TIMEOUT_SECONDS
    scheduler.PERIODIC_JOBS = tuple(
        replace(job, every_seconds=min(job.every_seconds, SWEEP_INTERVAL_SECONDS))
        if job.name in ("leases", "bells", "look_ups", "callbacks")
        else job
        for job in periodic_jobs.PERIODIC_JOBS
    )
