"""Real processes, to be killed: workers and schedulers as supervisord runs them, on the test's own servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Short, so that a test need not wait for the dead as long as an operator would accept.
LEASE_SECONDS = "3"


class Programs:
    """The processes of one test; none outlives it."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        """`beckon` with these words, or a program of the tests where the first is a file's name."""
        command = [sys.executable, words[0]] if words[0].endswith(".py") else [sys.executable, "-m", "workers.command"]
        rest = words[1:] if words[0].endswith(".py") else words
        told = {**os.environ, "BECKON_LEASE_SECONDS": LEASE_SECONDS, "PYTHONPATH": str(ROOT), **environment}
        with open(self._logs / f"{len(self._running)}-{words[-1]}.log", "wb") as log:
            process = subprocess.Popen([*command, *rest], cwd=ROOT, stdout=log, stderr=log, env=told)
        self._running.append(process)
        return process

    def workers(self, **environment: str) -> dict[str, subprocess.Popen[bytes]]:
        """One process of each worker program, and a scheduler."""
        names = ("executions", "generation", "sending", "tracking")
        started = {name: self.start("worker", name, **environment) for name in names}
        started["scheduler"] = self.start("scheduler", **environment)
        return started

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
