"""`beckon up`: starts, watches and stops all programs of a copy.

In order: the home and the ports, the servers, the migrations and the demo (in a separate process, so that this one
stays small), the programs, and a 200 with the status `ok` from `/readyz`. Then it watches the programs until a signal
ends it. A failed start stops everything that was started and raises StartupError with one line.
"""

from __future__ import annotations

import contextlib
import http.client
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
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import settings
from rules.json_text import load_json
from rules.readiness import SENDS_PAUSED
from workers import embedded, embedded_roles, generated_secrets, home, supervision
from workers.child_process import ChildProcess
from workers.home import StartupError
from workers.old_logs import remove_old_logs

#: Seconds that all programs together have until `/readyz` returns 200 with the status `ok`.
READY_TIMEOUT_SECONDS = 90.0
#: Seconds after which a start that is degraded, but accepts triggers, counts as ready.
DEGRADED_TIMEOUT_SECONDS = 30.0
#: Seconds after which a program that keeps exiting counts as failed to start.
START_TIMEOUT_SECONDS = 8.0
#: Seconds between two checks of the programs while everything runs.
WATCH_INTERVAL_SECONDS = 5.0

ReadyCallback = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Readiness:
    """The status of `/readyz` (`ok`, `degraded`, `unavailable`, `unreachable`), its reasons, and since when each of
    its problems lasts, by key."""

    status: str
    reasons: tuple[str, ...]
    since: Mapping[str, str] = field(default_factory=dict)

    def describe_reasons(self) -> list[str]:
        """Return each reason with the time since which it lasts: `/readyz` names both in the same order."""
        times: list[str] = list(self.since.values())
        times += [""] * (len(self.reasons) - len(times))
        return [f"{reason}, since {at}" if at else reason for reason, at in zip(self.reasons, times, strict=False)]


class StopRequested(Exception):
    """Raised after SIGTERM, SIGINT or SIGHUP."""


class Start:
    """One start of one home, and its undo."""

    def __init__(self, config: settings.Settings, killed_before: bool, *, paused: bool = False) -> None:
        self.config = config
        self.paused = paused
        self.killed_before = killed_before
        self._stop_requested = threading.Event()
        self._supervisord: ChildProcess | None = None

    def run(self, on_ready: ReadyCallback) -> None:
        """Start everything, call `on_ready` with access.json's content, and return after a signal stops it."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._request_stop)
        try:
            self._start(on_ready)
            self._watch()
        except StopRequested:
            return
        finally:
            self._stop()

    def _request_stop(self, _: int, __: FrameType | None) -> None:
        self._stop_requested.set()

    def _raise_if_stopping(self) -> None:
        if self._stop_requested.is_set():
            raise StopRequested

    def _start(self, on_ready: ReadyCallback) -> None:
        if self.killed_before:
            home.wait_for_orphans(self.config)
        self._claim_ports()
        self._prepare_home()
        self._supervisord = supervision.launch(self.config)
        remote = supervision.Remote(self.config.run)
        supervision.await_up(self._supervisord, remote)
        if self.config.embedded_database:
            remote.start("servers:postgres")
        if self.config.embedded_redis:
            remote.start("servers:redis")
        access = self._prepare()
        self._raise_if_stopping()
        remote.start("beckon:*")
        self._await_ready(remote)
        on_ready(access)

    def _claim_ports(self) -> None:
        home.require_port(self.config.host, self.config.port)
        port = home.choose_sandbox_port(self.config)
        generated_secrets.ensure_secrets(self.config.home, sandbox_port=port)
        self.config = settings.load().replace(sandbox_port=port)

    def _prepare_home(self) -> None:
        """Prepare the directory of sockets, empty metrics, and PostgreSQL's cluster with its roles."""
        metrics = self.config.home / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(mode=0o700)
        try:
            embedded.ensure_private_directory(self.config.run)
            if self.config.embedded_database:
                servers = supervision.build_servers(self.config)
                embedded.make_cluster(servers)
                embedded_roles.set_up(servers, generated_secrets.read_database_passwords(self.config.home))
            if self.config.embedded_redis:
                supervision.build_servers(self.config).append_only.mkdir(mode=0o700, exist_ok=True)
                embedded.find_redis_program()
        except embedded.EmbeddedError as error:
            raise StartupError(str(error)) from None
        link = self.config.home / "run"
        link.unlink(missing_ok=True)
        link.symlink_to(self.config.run)

    def _prepare(self) -> dict[str, Any]:
        """Run `beckon prepare`: migrations, the demo and access.json. Returns access.json's content."""
        command = [*embedded.build_parent_death_prefix("TERM"), sys.executable, "-m", "workers.command", "prepare"]
        command += ["--paused"] if self.paused else []
        process = subprocess.Popen(
            command,
            cwd=settings.ROOT,
            env=supervision.build_environment(self.config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        output, errors = self._await_output(process)
        if process.returncode != 0:
            lines = [line for line in errors.splitlines() if line.strip()]
            raise StartupError(
                lines[-1].removeprefix("beckon: ")
                if lines
                else "the database cannot be prepared: `beckon prepare` failed without a message"
            )
        return dict(load_json(output))

    def _await_output(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """Wait for the process's output; terminate the process when a stop is requested."""
        while True:
            try:
                return process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                if self._stop_requested.is_set():
                    process.terminate()
                    process.communicate()
                    raise StopRequested from None

    def _await_ready(self, remote: supervision.Remote) -> None:
        began = time.monotonic()
        while (readiness := read_readiness(self.config)).status != "ok":
            self._raise_if_stopping()
            elapsed = time.monotonic() - began
            is_paused = readiness.reasons == (SENDS_PAUSED,)
            if readiness.status == "degraded" and (is_paused or elapsed > DEGRADED_TIMEOUT_SECONDS):
                _warn_of_degraded(readiness)
                return
            failing = [program for program in remote.list_programs() if program.state in ("BACKOFF", "FATAL")]
            if failing and elapsed > START_TIMEOUT_SECONDS:
                raise StartupError(f"{failing[0].name} does not start: {_read_failure_reason(failing[0].log)}")
            if elapsed > READY_TIMEOUT_SECONDS:
                cause = "; ".join(readiness.reasons) or f"see {self.config.home}/logs"
                raise StartupError(f"not ready after {READY_TIMEOUT_SECONDS:.0f} s: {cause}")
            self._stop_requested.wait(0.1)

    def _watch(self) -> None:
        """Wait for a signal; meanwhile restart programs that supervisord gave up on."""
        remote = supervision.Remote(self.config.run)
        next_check = time.monotonic()
        while not self._stop_requested.wait(0.2):
            if self._supervisord is None or self._supervisord.poll() is not None:
                home.wait_for_orphans(self.config)
                raise StartupError("supervisord was killed, and all programs with it; start Beckon again")
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + WATCH_INTERVAL_SECONDS
                _revive(remote)
                remove_old_logs(self.config.home / "logs", time.time())

    def _stop(self) -> None:
        if self._supervisord is None or not supervision.stop(self._supervisord):
            return
        (self.config.home / "run").unlink(missing_ok=True)
        shutil.rmtree(self.config.run, ignore_errors=True)


def _warn_of_degraded(readiness: Readiness) -> None:
    """Say what is not as it should be. A disk that is nearly full, for one, is no reason to stop what runs."""
    for reason in readiness.reasons:
        print(f"beckon: degraded: {reason}", file=sys.stderr, flush=True)


def _revive(remote: supervision.Remote) -> None:
    with contextlib.suppress(*supervision.UNREACHABLE):
        remote.revive()


_EXPLANATION = re.compile(r"^(?:beckon: |[\w.]*(?:Error|Exception|Refused|FATAL)\b)")


def _read_failure_reason(log: str) -> str:
    """Return the last line of a log that states a reason, and the log's path."""
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    text_lines = [line.strip() for line in lines if any(letter.isalpha() for letter in line)]
    if not text_lines:
        return f"its log {log} is empty"
    reasons = [line for line in text_lines if _EXPLANATION.match(line)]
    return f"{(reasons or text_lines)[-1][:300]} (log: {log})"


def read_readiness(config: settings.Settings) -> Readiness:
    """Return what `GET /readyz` answers; `unreachable` without an answer."""
    try:
        with urllib.request.urlopen(f"{config.local_url}/readyz", timeout=5) as response:
            return _parse_readiness(response.read())
    except urllib.error.HTTPError as error:
        return _parse_readiness(error.read())
    except (OSError, http.client.HTTPException):
        return Readiness("unreachable", ())


def _parse_readiness(body: bytes) -> Readiness:
    try:
        fields = load_json(body)
        return Readiness(str(fields["status"]), tuple(map(str, fields.get("reasons", ()))), fields.get("since", {}))
    except (ValueError, KeyError, TypeError):
        # Another program listens on this port.
        return Readiness("unreachable", ())


def up(config: settings.Settings, on_ready: ReadyCallback, *, paused: bool = False) -> None:
    """Run Beckon in the foreground until a signal stops it, with every send paused or not. Raises StartupError."""
    home.make(config.home)
    with home.hold(config.home) as killed_before:
        Start(config, killed_before, paused=paused).run(on_ready)


def up_detached(config: settings.Settings, environ: Mapping[str, str], *, paused: bool = False) -> dict[str, Any]:
    """Start Beckon in the background and return access.json's content once it is ready. Raises StartupError."""
    home.make(config.home)
    read_end, write_end = os.pipe()
    options = ["--paused"] if paused else []
    with open(config.home / "logs" / "up.log", "ab") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "workers.command",
                "up",
                *options,
                "--report",
                str(write_end),
            ],
            cwd=settings.ROOT,
            env={**environ, "BECKON_HOME": str(config.home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write_end,),
            start_new_session=True,
        )
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as reports:
        report = reports.readline()
    if not report:
        raise StartupError(f"Beckon ended before it was ready: see {config.home}/logs/up.log")
    outcome = dict(load_json(report))
    if "error" in outcome:
        process.wait()
        raise StartupError(outcome["error"])
    return outcome


def down(config: settings.Settings, timeout: float = 35.0) -> bool:
    """Stop the copy that runs on this home. Returns False if none runs. Raises StartupError if it does not end."""
    pid = home.find_running_pid(config.home)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while home.find_running_pid(config.home) is not None:
        if time.monotonic() > deadline:
            raise StartupError(f"process {pid} does not end; `kill -9 {pid}` ends it and its programs")
        time.sleep(0.1)
    return True
