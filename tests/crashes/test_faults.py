"""Every fault of a running copy is visible on the Health page, in the API and in a metric, and gone after its end.

The promise is 15 seconds each way; a test allows three times as long on a busy machine, and prints when it saw what.
One running copy serves all tests of this file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest

import settings
from tests.support.running_app import PROGRAM, RunningApp
from tests.support.waiting import eventually
from workers.supervision import Remote

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

#: Three times the promise.
ALLOWED_SECONDS = 45.0
MEGABYTE = 1_000_000
SKEWED_WORKER = str(Path(__file__).with_name("skewed_worker.py"))


class WatchedApp:
    """A running copy, seen from outside: by its API, its page and its metrics."""

    def __init__(self, app: RunningApp) -> None:
        self.app = app
        self.remote = Remote(settings.locate_run_directory(app.home))
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def call(self, method: str, path: str, body: Any = None, base: str | None = None) -> Any:
        """Return the JSON response of the API, or of the server at `base`."""
        return self.app.call(method, path, body, base)

    def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox."""
        return self.call(method, path, body, base=str(self.app.access()["sandboxUrl"]))

    def sign_in(self) -> None:
        """Sign the browser in."""
        access = self.app.access()
        page = self._open(f"{access['url']}/sign-in")
        token = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page)[0]
        form = f"csrf_token={token}&email={access['email']}&password={access['password']}"
        self._open(f"{access['url']}/sign-in", form.encode())

    def _open(self, url: str, data: bytes | None = None) -> str:
        request = urllib.request.Request(url, data, {"Accept": "text/html"})
        try:
            with self._opener.open(request, timeout=20) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            return str(error.read().decode())

    def list_problems(self) -> dict[str, str]:
        """The severity of each problem in the API, by its key; without PostgreSQL the cause that the API names."""
        try:
            response = self.call("GET", "/api/health")
        except urllib.error.HTTPError as error:
            if error.code != 503 or "Retry-After" not in error.headers:
                raise
            detail = json.loads(error.read())["detail"]
            return {"postgres_down": "critical"} if "PostgreSQL" in detail else {}
        return {problem["key"]: problem["severity"] for problem in response["problems"]}

    def is_on_page(self, key: str) -> bool:
        """Whether the page unfolds this problem."""
        page = self._open(f"{self.app.access()['url']}/health")
        if key == "postgres_down":
            return "PostgreSQL does not answer" in page
        return f'id="problem-{key.replace(":", "-")}"' in page

    def read_metric(self, series: str) -> float | None:
        """The value of one series of /metrics; None without it."""
        with urllib.request.urlopen(f"{self.app.access()['url']}/metrics", timeout=20) as response:
            lines = response.read().decode().splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{series} ")), None)

    def find_pid(self, program: str) -> int:
        """The process id of a program."""
        return next(row.pid for row in self.remote.list_programs() if row.name == program)

    def kill_and_hold(self, group: str, program: str) -> None:
        """Kill a program with SIGKILL, and keep supervisord from starting it again."""
        os.kill(self.find_pid(program), signal.SIGKILL)
        with contextlib.suppress(Exception):
            self.remote._call("stopProcess", f"{group}:{program}", True)

    def trigger(self, count: int) -> None:
        """Start executions that send an e-mail each."""
        triggers = [
            {"type": "fault.test", "contact": {"externalId": f"f-{n}", "email": f"f{n}@example.com"}}
            for n in range(count)
        ]
        assert self.call("POST", "/api/triggers/batch", {"triggers": triggers})["accepted"] == count

    def run_sql(self, statement: str) -> None:
        """Run one statement as the owner."""
        with closing(psycopg2.connect(str(self.app.access()["databaseUrl"]))) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


def log(event: str) -> None:
    """Print when something happened, for the log of a slow run."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S.%f} {event}\n")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedApp]:
    """A running copy with few threads, whose disk warns when 2 GB more are used."""
    app = RunningApp(tmp_path_factory.mktemp("faults") / "home")
    free = shutil.disk_usage(app.home.parent).free
    app.environ.update(BECKON_IO_THREADS="2", BECKON_DISK_RESERVE_MB=str(int(free / MEGABYTE) - 2000))
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    watched = WatchedApp(app)
    watched.sign_in()
    workspace = app.access()["workspaceId"]
    send = {"id": "hello", "action": "send_email", "with": {"subject": "Hello", "body": "Hello."}}
    definition = {"trigger": {"type": "fault.test"}, "steps": [send]}
    body = {"name": "Fault test", "type": "workflow", "enabled": True, "definition": definition}
    watched.call("POST", f"/api/workspaces/{workspace}/automations", body)
    yield watched
    app.run("down")


def expect_fault(
    copy: WatchedApp, key: str, severity: str, is_in_metric: Callable[[], bool], end: Callable[[], Any]
) -> None:
    """Wait until the fault is in the API, on the page and in a metric; end it, and wait until it is gone from all."""

    def is_visible() -> bool:
        return copy.list_problems().get(key) == severity and copy.is_on_page(key) and is_in_metric()

    def is_gone() -> bool:
        return key not in copy.list_problems() and not copy.is_on_page(key) and not is_in_metric()

    log(f"{key} begins")
    try:
        eventually(is_visible, timeout=ALLOWED_SECONDS, interval=0.5)
        log(f"{key} is visible")
    finally:
        end()
    log(f"{key} ends")
    eventually(is_gone, timeout=ALLOWED_SECONDS, interval=0.5)
    log(f"{key} is gone")


def test_a_failing_provider(copy: WatchedApp) -> None:
    copy.sandbox("POST", "/_sandbox/faults", {"provider": "mailgun", "fault": "http_429", "times": 500})
    refused = 'beckon_sends_total{channel="email",outcome="retryable",provider="mailgun"}'
    sent = 'beckon_sends_total{channel="email",outcome="sent",provider="mailgun"}'
    before = copy.read_metric(sent) or 0.0
    copy.trigger(5)

    def end() -> None:
        copy.sandbox("DELETE", "/_sandbox")
        copy.trigger(1)

    # A counter rises while the provider fails, and the sent ones rise again once it accepts.
    expect_fault(
        copy, "provider_failing:mailgun", "critical",
        lambda: (copy.read_metric(refused) or 0) >= 3 and copy.read_metric(sent) == before, end,
    )  # fmt: skip


@pytest.mark.slow
def test_all_workers_of_a_queue_are_killed(copy: WatchedApp) -> None:
    copy.kill_and_hold("beckon", "engine-0")
    expect_fault(
        copy, "no_worker:sending", "critical", lambda: copy.read_metric('beckon_workers_live{queue="sending"}') == 0,
        lambda: copy.remote.start("beckon:engine-0"),
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_worker_beside_a_live_one(copy: WatchedApp) -> None:
    def start_second() -> subprocess.Popen[bytes]:
        second = subprocess.Popen([*PROGRAM, "worker", "--queues", "sending"], cwd=settings.ROOT, env=copy.app.environ)
        eventually(lambda: copy.read_metric('beckon_workers_live{queue="sending"}') == 2, timeout=ALLOWED_SECONDS)
        return second

    workers = [start_second()]
    workers[0].kill()
    expect_fault(
        copy, "worker_lost:sending", "warning", lambda: copy.read_metric('beckon_workers_live{queue="sending"}') == 1,
        lambda: workers.append(start_second()),
    )  # fmt: skip
    for worker in workers:
        worker.terminate()
        worker.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_the_leader_is_gone(copy: WatchedApp, how: str) -> None:
    pid = copy.find_pid("scheduler")
    if how == "killed":
        copy.kill_and_hold("beckon", "scheduler")
    else:
        os.kill(pid, signal.SIGSTOP)

    def end() -> None:
        if how == "killed":
            copy.remote.start("beckon:scheduler")
        else:
            os.kill(pid, signal.SIGCONT)

    expect_fault(copy, "no_leader", "critical", lambda: copy.read_metric("beckon_leader_up") == 0, end)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ended", "stopped"])
def test_redis_is_gone(copy: WatchedApp, how: str) -> None:
    pid = copy.find_pid("redis")
    if how == "ended":
        copy.remote._call("stopProcess", "servers:redis", True)
    else:
        os.kill(pid, signal.SIGSTOP)

    def end() -> None:
        if how == "ended":
            copy.remote.start("servers:redis")
        else:
            os.kill(pid, signal.SIGCONT)

    expect_fault(copy, "redis_down", "critical", lambda: copy.read_metric("beckon_redis_up") == 0, end)
    eventually(lambda: not copy.list_problems().keys() & {"no_worker:sending", "no_leader"}, timeout=ALLOWED_SECONDS)


@pytest.mark.slow
def test_postgresql_is_restarted(copy: WatchedApp) -> None:
    copy.remote._call("stopProcess", "servers:postgres", True)
    expect_fault(
        copy, "postgres_down", "critical", lambda: copy.read_metric("beckon_postgres_up") == 0,
        lambda: copy.remote.start("servers:postgres"),
    )  # fmt: skip


def list_family(pid: int) -> list[int]:
    """The process and its children."""
    entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    stats = {int(entry.name): (entry / "stat").read_text() for entry in entries if (entry / "stat").exists()}
    return [pid, *(child for child, stat in stats.items() if int(stat.rpartition(")")[2].split()[1]) == pid)]


def read_status(url: str) -> int:
    """The status of a response that comes within 8 seconds."""
    try:
        with urllib.request.urlopen(url, timeout=8) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.slow
def test_a_postgresql_that_hangs_is_answered_for_in_time(copy: WatchedApp) -> None:
    family = list_family(copy.find_pid("postgres"))
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        # Each has a timeout of its own, shorter than any of the servers'. An answer of the last second is still given.
        eventually(lambda: read_status(f"{copy.app.access()['url']}/readyz") == 503, timeout=ALLOWED_SECONDS)
        with urllib.request.urlopen(f"{copy.app.access()['url']}/healthz", timeout=3) as response:
            assert response.status == 200
        assert copy.list_problems() == {"postgres_down": "critical"}
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: "postgres_down" not in copy.list_problems(), timeout=ALLOWED_SECONDS)


@pytest.mark.slow
def test_a_queue_grows(copy: WatchedApp) -> None:
    # Not so slow that the provider counts as hanging: then its executions would not wait as pending.
    copy.sandbox("POST", "/_sandbox/faults", {"provider": "mailgun", "fault": "slow", "times": 5_000, "seconds": 0.25})
    copy.trigger(900)
    # The threads are busy; the others have waited for more than two minutes, as far as the clock of the row goes.
    copy.run_sql("update executions set due_at = due_at - interval '200 seconds' where status = 'pending'")
    expect_fault(
        copy, "growing:sending", "warning",
        lambda: (copy.read_metric("beckon_executions_oldest_due_seconds") or 0) > 120,
        lambda: copy.sandbox("DELETE", "/_sandbox"),
    )  # fmt: skip


@pytest.mark.slow
def test_the_disk_is_nearly_full(copy: WatchedApp) -> None:
    full = copy.app.home / "filler"
    ratio = copy.read_metric("beckon_disk_free_ratio") or 1.0
    with full.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4_000 * MEGABYTE)
    total = shutil.disk_usage(copy.app.home).total
    below = ratio - 2_000 * MEGABYTE / total
    expect_fault(
        copy, "disk_nearly_full", "warning", lambda: (copy.read_metric("beckon_disk_free_ratio") or 1.0) < below,
        full.unlink,
    )  # fmt: skip


@pytest.mark.slow
def test_the_clock_of_a_worker_is_wrong(copy: WatchedApp) -> None:
    skewed = subprocess.Popen(
        [sys.executable, SKEWED_WORKER, "600", "sending"], cwd=settings.ROOT,
        env={**copy.app.environ, "PYTHONPATH": str(settings.ROOT)},
    )  # fmt: skip

    def end() -> None:
        skewed.terminate()
        skewed.wait(30)

    expect_fault(
        copy, "clock:queue:sending", "warning",
        lambda: (copy.read_metric("beckon_process_clock_skew_seconds") or 0) > 300, end,
    )  # fmt: skip
    # Only warned of: the probe stays as it is.
    assert copy.app.status()["ready"] is True
