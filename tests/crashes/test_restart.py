"""`beckon restart` after an upgrade, while producers post triggers: none is refused, lost or sent twice."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import urllib3

import settings
from tests.support.running_app import RunningApp
from tests.support.waiting import eventually
from tests.support.web_processes import ALONE, HELLO

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(400)]

#: Triggers a second of each of the two producers.
RATE = 20


@pytest.fixture
def app(tmp_path: Path) -> Iterator[RunningApp]:
    """A running copy whose code the test may change."""
    code = tmp_path / "code"
    ignored = shutil.ignore_patterns(".*", "var", "tests", "docs", "benchmarks", "node_modules", "__pycache__")
    shutil.copytree(settings.ROOT, code, symlinks=True, ignore=ignored)
    running = RunningApp(tmp_path / "home", code)
    started = running.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    yield running
    running.run("down")


class Producer(threading.Thread):
    """Posts triggers at a steady rate, on one kept connection or on a new one each, until it is stopped."""

    def __init__(self, app: RunningApp, name: str, headers: dict[str, str]) -> None:
        super().__init__(name=name)
        access = app.access()
        self.results: Counter[int | str] = Counter()
        self._stopping = threading.Event()
        self._url = f"{access['url']}/api/triggers"
        self._headers = {"Authorization": f"Bearer {access['apiKey']}", **headers}
        self._connections = urllib3.PoolManager(maxsize=RATE, retries=False)
        self._requests: list[threading.Thread] = []

    def run(self) -> None:
        while not self._stopping.wait(1 / RATE):
            request = threading.Thread(target=self._post, args=(f"{self.name}-{len(self._requests)}",))
            self._requests.append(request)
            request.start()
        for request in self._requests:
            request.join()

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _post(self, key: str) -> None:
        contact = {"externalId": key, "email": f"{key}@example.com"}
        body = {"type": "contact.created", "contact": contact, "idempotencyKey": key}
        try:
            response = self._connections.request("POST", self._url, json=body, headers=self._headers, timeout=20)
            self.results[response.status] += 1
        except urllib3.exceptions.HTTPError as error:
            self.results[repr(error)] += 1


@contextmanager
def produce(app: RunningApp) -> Iterator[Counter[int | str]]:
    """Post triggers during the block; the results are complete after it."""
    producers = [Producer(app, "kept", {}), Producer(app, "alone", ALONE)]
    for producer in producers:
        producer.start()
    results: Counter[int | str] = Counter()
    try:
        yield results
    finally:
        for producer in producers:
            producer.stop()
            results.update(producer.results)


def change(app: RunningApp, path: str, old: str, new: str) -> None:
    """Change the code on disk."""
    file = app.code / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def read(app: RunningApp, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, as the owner of the copy's database."""
    with closing(psycopg2.connect(str(app.access()["databaseUrl"]))) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def read_health(app: RunningApp) -> dict[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{app.port}/healthz", timeout=10) as response:
        return dict(json.loads(response.read()))


def publish(app: RunningApp) -> None:
    """Publish the only automation that answers: one e-mail for each trigger."""
    base = f"/api/workspaces/{app.access()['workspaceId']}/automations"
    for automation in app.call("GET", f"{base}?limit=200")["automations"]:
        app.call("PATCH", f"{base}/{automation['id']}", {"enabled": False})
    app.call("POST", base, {"name": "Hello", "type": "workflow", "enabled": True, "definition": HELLO})


def test_an_upgrade_by_restart_loses_no_request_and_sends_nothing_twice(app: RunningApp) -> None:
    publish(app)
    with produce(app) as results:
        change(app, "dashboard/probes.py", '{"status": "ok"}', '{"status": "ok", "code": "new"}')
        change(app, "workers/worker_process.py", '"worker started"', '"worker started with new code"')
        (app.code / "migrations" / "9999_pre_example.up.sql").write_text("select 1;\n")
        (app.code / "migrations" / "9999_pre_example.down.sql").write_text("select 1;\n")
        assert "run `beckon migrate --pre`" in app.run("restart").stderr
        # The version that runs does not need the migration.
        assert app.is_ready()
        assert app.run("migrate", "--pre").returncode == 0
        with ThreadPoolExecutor() as operators:
            # The second one's signal comes while the dashboard loads.
            restarts = [operators.submit(app.run, "restart", "dashboard") for _ in range(2)]
        assert [restart.result().stderr for restart in restarts] == ["", ""]
        assert read_health(app) == {"status": "ok", "code": "new"}
        restarted = app.run("restart")
        assert restarted.returncode == 0, restarted.stderr
    names = ["sandbox", "engine-0", "tracking-0", "scheduler", "dashboard"]
    assert restarted.stdout.splitlines() == [f"restarted {name}" for name in names]
    for log in ("engine-0.log", "tracking-0.log"):
        assert "worker started with new code" in (app.home / "logs" / log).read_text()
    assert set(results) == {202}, results
    accepted = results[202]
    assert read(app, "select count(*) from triggers where type = 'contact.created'") == [(accepted,)]
    count_sent = "select status, count(*), count(distinct execution_id) from messages group by status"
    eventually(lambda: read(app, count_sent) == [("sent", accepted, accepted)], timeout=150, interval=0.5)
