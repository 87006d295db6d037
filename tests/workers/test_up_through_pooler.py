"""A copy whose dashboard, workers and scheduler reach PostgreSQL through pgbouncer in transaction mode."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import servers as real
from tests.support.poolers import needs_pgbouncer, pooler
from tests.support.running_app import RunningApp
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240), needs_pgbouncer]


@pytest.fixture
def app(tmp_path: Path, database_urls: Any, redis_url: str, clean: None) -> Iterator[RunningApp]:
    """A copy whose migrations connect directly to the server and everything else through the pooler."""
    instance = RunningApp(tmp_path / "home")
    with pooler(database_urls.owner, ignore_startup_parameters=False) as url:
        instance.environ.update(
            DATABASE_URL=database_urls.owner,
            DATABASE_APP_URL=real.with_user(url, "beckon_app"),
            DATABASE_SERVICE_URL=real.with_user(url, "beckon_service"),
            REDIS_URL=redis_url,
        )
        yield instance
        instance.run("down")
        eventually(lambda: not instance.processes(), timeout=35)


def _call(app: RunningApp, method: str, path: str, body: Any = None) -> Any:
    access = app.access()
    headers = {"Authorization": f"Bearer {access['apiKey']}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{access['url']}{path}", method=method, data=content, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


def test_a_trigger_is_accepted_and_its_execution_succeeds_through_a_pooler(app):
    started = app.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    trigger = {
        "type": "contact.created",
        "contact": {"externalId": "c-1", "firstName": "Ada", "email": "a@example.com"},
    }
    (execution,) = _call(app, "POST", "/api/triggers", trigger)["executions"]

    def succeeded() -> bool:
        path = f"/api/executions/{execution['executionId']}"
        return bool(_call(app, "GET", path)["execution"]["status"] == "succeeded")

    eventually(succeeded, timeout=60, interval=0.1)
    assert "through a pooler" in app.run("doctor", "--no-settings").stdout
