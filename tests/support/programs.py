"""Real processes that a test can kill: workers and schedulers as supervisord runs them, on the test's own servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.support.forks import ROOT, Fork, can_fork

#: A running process.
Program = Fork | subprocess.Popen[bytes]
#: Short, so that a test does not wait for expired leases as long as in production.
LEASE_SECONDS = "3"
#: For tests in which no worker dies: no lease expires, however busy the machine is.
LONG_LEASE = {"BECKON_LEASE_SECONDS": "30"}
#: Interval of the sweeps, and the age after which a notification counts as lost.
SWEEP_INTERVAL_SECONDS, NOTIFICATION_TIMEOUT_SECONDS = 2.0, 4.0


class Programs:
    """The processes of one test."""

    def __init__(self, logs: Path) -> None:
        #: What each fork does first: by default, schedulers sweep more often and take over sooner than in production.
        self.setup: Callable[[], None] | None = shorten_intervals
        self._logs = logs
        self._running: list[Program] = []

    def start(self, *arguments: str, **environment: str) -> Program:
        """Start `beckon` with these arguments, or a Python file if the first argument is one."""
        env = {**os.environ, "BECKON_LEASE_SECONDS": LEASE_SECONDS, "PYTHONPATH": str(ROOT), **environment}
        log = self._logs / f"{len(self._running)}-{arguments[-1]}.log"
        if arguments[0] in ("worker", "scheduler") and can_fork(env):
            self._running.append(Fork(arguments, env, log, log, setup=self.setup))
        else:
            self._running.append(_start(arguments, env, log))
        return self._running[-1]

    def start_workers(self, **environment: str) -> dict[str, Program]:
        """Start one process of each worker program, and a scheduler."""
        return {
            "engine": self.start("worker", **environment),
            "tracking": self.start("worker", "--queues", "tracking", **environment),
            "scheduler": self.start("scheduler", **environment),
        }

    def are_ready(self) -> bool:
        """Whether every process has logged that it started, and handles signals."""
        logs = [path.read_text() for path in self._logs.iterdir()]
        # A fork makes its log when it begins.
        return len(logs) == len(self._running) and all("worker started" in log or "leading" in log for log in logs)

    def read_logs(self) -> str:
        """The end of all logs, for a failing test."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self._logs.iterdir()))

    def end(self) -> None:
        """Kill the processes that still run."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def _start(arguments: tuple[str, ...], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    module = [] if arguments[0].endswith(".py") else ["-m", "workers.command"]
    with open(log, "wb") as opened:
        return subprocess.Popen([sys.executable, *module, *arguments], cwd=ROOT, stdout=opened, stderr=opened, env=env)


def shorten_intervals() -> None:
    """In a fork: shorten the intervals of the sweeps and the scheduler's lease."""
    from models import leadership
    from tasks import periodic_jobs
    from workers import scheduler

    leadership.LEASE_SECONDS, leadership.RENEWAL_SECONDS = 3.0, 0.5
    scheduler.ELECTION_INTERVAL_SECONDS = 0.5
    periodic_jobs.NOTIFICATION_TIMEOUT_SECONDS = NOTIFICATION_TIMEOUT_SECONDS
    scheduler.PERIODIC_JOBS = tuple(
        replace(job, every_seconds=min(job.every_seconds, SWEEP_INTERVAL_SECONDS))
        if job.name in ("leases", "notifications", "reconciliations", "callbacks", "operations")
        else job
        for job in periodic_jobs.PERIODIC_JOBS
    )


def run_one_job(name: str) -> None:
    """In a fork: run only one periodic job, again and again."""
    from workers import scheduler

    shorten_intervals()
    job = next(job for job in scheduler.PERIODIC_JOBS if job.name == name)
    scheduler.PERIODIC_JOBS = (replace(job, every_seconds=0.2),)


def notice_hanging_soon() -> None:
    """In a fork: end the scheduler when something hangs for three seconds."""
    from workers import renewal, scheduler

    shorten_intervals()
    scheduler.SILENCE_SECONDS = renewal.LIMIT_SECONDS = 3.0
