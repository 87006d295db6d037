"""A whole copy whose dashboard, workers and scheduler reach PostgreSQL through pgbouncer in transaction mode."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from poolers import needs_pgbouncer, pooler

import servers as real
from copies import Copy
from waiting import eventually

pytestmark = [pytest.mark.timeout(240), needs_pgbouncer]


@pytest.fixture
def copy(tmp_path: Path, database_urls: Any, redis_url: str, clean: None) -> Iterator[Copy]:
    """Migrations go straight to the server, everything else through the pooler."""
    one = Copy(tmp_path / "home")
    with pooler(database_urls.owner, ignoring=False) as url:
        one.environ.update(
            DATABASE_URL=database_urls.owner,
            DATABASE_APP_URL=real.with_user(url, "beckon_app"),
            DATABASE_SERVICE_URL=real.with_user(url, "beckon_service"),
            REDIS_URL=redis_url,
        )
        yield one
        one.run("down")
        eventually(lambda: not one.processes(), within=35)


def _call(copy: Copy, method: str, path: str, body: Any = None) -> Any:
    access = copy.access()
    headers = {"Authorization": f"Bearer {access['apiKey']}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{access['url']}{path}", method=method, data=content, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_a_trigger_is_accepted_and_its_execution_succeeds_through_a_pooler(copy):
    started = copy.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    trigger = {
        "type": "contact.created",
        "contact": {"externalId": "c-1", "firstName": "Ada", "email": "a@example.com"},
    }
    (execution,) = _call(copy, "POST", "/api/triggers", trigger)["executions"]

    def succeeded() -> bool:
        path = f"/api/executions/{execution['executionId']}"
        return bool(_call(copy, "GET", path)["execution"]["status"] == "succeeded")

    eventually(succeeded, within=60, every=0.1)
    assert "through a pooler" in copy.run("doctor", "--no-settings").stdout
