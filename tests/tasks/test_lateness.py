"""How late executions are: sampled each minute by workspace, written only where something is late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import clock
from models import deployment, lateness
from models.database import acting_as
from models.queries import execute, fetch_value
from settings import Settings
from tasks.periodic_jobs import sample_lateness
from tasks.runtime.engine import Engine
from tests.support import histories
from tests.support.factories import HELLO, Alice
from tests.support.rows import fetch_rows


@pytest.fixture
def alice(engine: Engine, idle: Any) -> Alice:
    return Alice()


def insert_due(alice: Alice, minutes: float, **columns: Any) -> str:
    automation_id = alice.automation(HELLO)
    due_at = clock.now() - timedelta(minutes=minutes)
    row = {"status": "pending", "stage": "queued", "due_at": due_at, "stage_since": due_at, **columns}
    execution_id = histories.insert_execution(alice.workspace_id, automation_id, "queued")
    assignments = ", ".join(f"{name} = %s" for name in row)
    execute(f"update executions set {assignments} where id = %s", [*row.values(), execution_id])
    return execution_id


def test_a_minute_without_late_executions_has_no_sample(alice: Alice, settings: Settings) -> None:
    insert_due(alice, -30)
    insert_due(alice, 5, test=True)
    assert sample_lateness(settings) == {"late": 0, "removed": 0}
    assert fetch_rows("select 1 from lateness_samples") == []


def test_a_sample_has_the_longest_delay_and_how_many_are_late(alice: Alice, settings: Settings) -> None:
    for minutes in (3, 7):
        insert_due(alice, minutes)
    assert sample_lateness(settings)["late"] == 1
    (row,) = fetch_rows("select oldest_seconds, late from lateness_samples")
    assert row["late"] == 2
    assert 420 <= row["oldest_seconds"] < 480


def test_refused_credentials_make_late_and_an_operators_pause_does_not(alice: Alice, settings: Settings) -> None:
    held = {"status": "waiting", "stage": "ready_to_send", "queue": "sending"}
    insert_due(alice, 9, waiting_for="pause", **held)
    execute("update executions set due_at = null")
    insert_due(alice, 4, waiting_for="configuration", **held)
    assert sample_lateness(settings)["late"] == 1
    with acting_as(alice.workspace_id):
        assert fetch_value("select oldest_seconds from lateness_samples") in range(240, 300)
        late = lateness.fetch_lateness(alice.workspace_id)
    assert (late["due_seconds"], late["held_seconds"] // 60) == (0, 4)


def test_samples_are_kept_for_eight_days(alice: Alice, settings: Settings) -> None:
    for days in (1, 7, 9):
        at = clock.now() - timedelta(days=days)
        execute("insert into lateness_samples values (%s, %s, 200, 1)", (alice.workspace_id, at))
    assert sample_lateness(settings)["removed"] == 1
    since = clock.now() - timedelta(days=2)
    assert [row["oldest_seconds"] for row in lateness.list_samples(alice.workspace_id, since)] == [200]


def test_schedulers_that_start_together_are_one_deployment(alice: Alice) -> None:
    since = clock.now() - timedelta(minutes=1)
    assert [deployment.record(version) for version in ("2.8.1", "2.8.1", "2.9.0")] == [True, False, True]
    assert [row["version"] for row in deployment.list_since(since, 10)] == ["2.9.0", "2.8.1"]
    execute("update deployments set started_at = started_at - interval '6 minutes'")
    assert deployment.record("2.9.0")
