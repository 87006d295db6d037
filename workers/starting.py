"""`beckon up` from the first check to the last stop.

In order: the home and the ports, the servers, the migrations and the demo (in a process of their own, so that this
one stays small), the programs, and the answer of `/readyz`. Then it watches, until a signal ends it. What cannot start
raises CannotStart with one line, after everything that was started is down again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import settings
from workers import embedded, embedded_roles, home, kept_files, supervision
from workers.home import CannotStart

#: Seconds that all programs together may take until `/readyz` is 200.
READY_SECONDS = 90.0
#: Seconds after which a program that still fails at once is taken for one that cannot start.
PATIENCE_SECONDS = 8.0
#: Seconds between two looks at the programs while everything runs.
WATCH_SECONDS = 5.0

Ready = Callable[[dict[str, Any]], None]


class Stopped(Exception):
    """SIGTERM, SIGINT or SIGHUP came."""


class Start:
    """One start of one home, and what it has to undo."""

    def __init__(self, told: settings.Settings, killed_before: bool) -> None:
        self.told = told
        self.killed_before = killed_before
        self._asked_to_stop = threading.Event()
        self._supervisord: subprocess.Popen[bytes] | None = None

    def run(self, ready: Ready) -> None:
        """Start everything, call `ready` with access.json's content, return after a signal when all is down."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop_soon)
        try:
            self._start(ready)
            self._watch()
        except Stopped:
            return
        finally:
            self._stop()

    def _stop_soon(self, _: int, __: FrameType | None) -> None:
        self._asked_to_stop.set()

    def _leave_if_asked(self) -> None:
        if self._asked_to_stop.is_set():
            raise Stopped

    def _start(self, ready: Ready) -> None:
        if self.killed_before:
            home.await_leftovers(self.told)
        self._claim_ports()
        self._lay_out()
        self._supervisord = supervision.launch(self.told)
        remote = supervision.Remote(self.told.run)
        supervision.await_up(self._supervisord, remote)
        if self.told.embedded_database:
            remote.start("servers:postgres")
        if self.told.embedded_redis:
            remote.start("servers:redis")
        access = self._prepare()
        self._leave_if_asked()
        remote.start("beckon:*")
        self._await_ready(remote)
        ready(access)

    def _claim_ports(self) -> None:
        home.require_port(self.told.host, self.told.port)
        port = home.choose_sandbox_port(self.told)
        kept_files.ensure_kept(self.told.home, sandbox_port=port)
        self.told = dataclasses.replace(settings.load(), sandbox_port=port)

    def _lay_out(self) -> None:
        """The sockets' directory, empty metrics, and PostgreSQL's cluster with its roles."""
        metrics = self.told.home / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(mode=0o700)
        try:
            embedded.private_directory(self.told.run)
            if self.told.embedded_database:
                servers = supervision.servers_of(self.told)
                embedded.make_cluster(servers)
                embedded_roles.set_up(servers, kept_files.database_passwords(self.told.home))
            if self.told.embedded_redis:
                supervision.servers_of(self.told).append_only.mkdir(mode=0o700, exist_ok=True)
                embedded.redis_program()
        except embedded.EmbeddedError as error:
            raise CannotStart(str(error)) from None
        link = self.told.home / "run"
        link.unlink(missing_ok=True)
        link.symlink_to(self.told.run)

    def _prepare(self) -> dict[str, Any]:
        """Migrations, the demo and access.json, done by `beckon prepare`; access.json's content."""
        command = [*embedded.dies_with_parent("TERM"), sys.executable, "-m", "workers.command", "prepare"]
        process = subprocess.Popen(
            command,
            cwd=settings.ROOT,
            env=supervision.environment(self.told),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        output, errors = self._outcome(process)
        if process.returncode != 0:
            lines = [line for line in errors.splitlines() if line.strip()]
            raise CannotStart(lines[-1].removeprefix("beckon: ") if lines else "the database could not be prepared")
        return dict(json.loads(output))

    def _outcome(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """What a program of ours answered; it is ended when we are to stop."""
        while True:
            try:
                return process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                if self._asked_to_stop.is_set():
                    process.terminate()
                    process.communicate()
                    raise Stopped from None

    def _await_ready(self, remote: supervision.Remote) -> None:
        began = time.monotonic()
        while not is_ready(self.told):
            self._leave_if_asked()
            lasted = time.monotonic() - began
            failing = [one for one in remote.programs() if one.state in ("BACKOFF", "FATAL")]
            if failing and lasted > PATIENCE_SECONDS:
                raise CannotStart(f"{failing[0].name} does not start: {_last_words(failing[0].log)}")
            if lasted > READY_SECONDS:
                raise CannotStart(f"not ready after {READY_SECONDS:.0f} s: see {self.told.home}/logs")
            self._asked_to_stop.wait(0.1)

    def _watch(self) -> None:
        """Wait for a signal; meanwhile what supervisord gave up on is started again."""
        remote = supervision.Remote(self.told.run)
        next_look = time.monotonic() + WATCH_SECONDS
        while not self._asked_to_stop.wait(0.2):
            if self._supervisord is None or self._supervisord.poll() is not None:
                home.await_leftovers(self.told)
                raise CannotStart("supervisord was killed, and everything with it; start again to go on")
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + WATCH_SECONDS
                _revive(remote)

    def _stop(self) -> None:
        if self._supervisord is None or not supervision.stop(self._supervisord):
            return
        (self.told.home / "run").unlink(missing_ok=True)
        shutil.rmtree(self.told.run, ignore_errors=True)


def _revive(remote: supervision.Remote) -> None:
    with contextlib.suppress(*supervision.UNREACHABLE):
        remote.revive()


_EXPLANATION = re.compile(r"^(?:beckon: |[\w.]*(?:Error|Exception|Refused|FATAL)\b)")


def _last_words(log: str) -> str:
    """The last line of a log that says why, and where the log is."""
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line.strip() for line in lines if any(letter.isalpha() for letter in line)]
    if not said:
        return f"it wrote nothing to {log}"
    reasons = [line for line in said if _EXPLANATION.match(line)]
    return f"{(reasons or said)[-1][:300]} (log: {log})"


def is_ready(told: settings.Settings) -> bool:
    """Whether `GET /readyz` is 200."""
    try:
        with urllib.request.urlopen(f"{told.local_url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def up(told: settings.Settings, ready: Ready) -> None:
    """Run Beckon in the foreground until a signal comes. Raises CannotStart."""
    home.make(told.home)
    with home.hold(told.home) as killed_before:
        Start(told, killed_before).run(ready)


def up_detached(told: settings.Settings, environ: Mapping[str, str]) -> dict[str, Any]:
    """Run Beckon in the background; access.json's content as soon as it is ready. Raises CannotStart."""
    home.make(told.home)
    reading, writing = os.pipe()
    with open(told.home / "logs" / "up.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.command", "up", "--report", str(writing)],
            cwd=settings.ROOT,
            env={**environ, "BECKON_HOME": str(told.home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
        )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as reports:
        report = reports.readline()
    if not report:
        raise CannotStart(f"it ended before it was ready: see {told.home}/logs/up.log")
    said = dict(json.loads(report))
    if "error" in said:
        process.wait()
        raise CannotStart(said["error"])
    return said


def down(told: settings.Settings, within: float = 35.0) -> bool:
    """Stop the copy that runs on this home; False if none does. Raises CannotStart if it does not end."""
    pid = home.running_pid(told.home)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + within
    while home.running_pid(told.home) is not None:
        if time.monotonic() > deadline:
            raise CannotStart(f"process {pid} does not end; `kill -9 {pid}` ends it and all it runs")
        time.sleep(0.1)
    return True
