"""What counts as stuck, and what does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import clock
from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.queries import fetch_values
from models.stuck import select_stuck
from models.tables import Execution
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

LATE, SOON = timedelta(minutes=3), timedelta(minutes=1)


def list_stuck(alice: Producer) -> list[str]:
    with acting_as(alice.workspace_id):
        filtered = Execution.select(Execution.id).where(ExecutionFilters(stuck=True).build_condition())
        ids = fetch_values(select_stuck(Execution.id))
        assert sorted(ids) == sorted(fetch_values(filtered))
        return ids


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (True, {"status": "pending", "stage": "queued", "due_at": -LATE}),
        (False, {"status": "pending", "stage": "queued", "due_at": -SOON}),
        (True, {"status": "waiting", "stage": "sent", "waiting_for": "time", "due_at": -LATE}),
        (False, {"status": "waiting", "stage": "sent", "waiting_for": "time", "due_at": LATE}),
        (False, {"status": "waiting", "stage": "failed", "waiting_for": "retry", "due_at": LATE}),
        (True, {"status": "waiting", "stage": "ready_to_send", "waiting_for": "pause"}),
        (True, {"status": "waiting", "stage": "ready_to_send", "waiting_for": "configuration", "due_at": -LATE}),
        (True, {"status": "waiting", "stage": "ready_to_send", "waiting_for": "review"}),
        (True, {"status": "running", "stage": "sending", "lease_owner": "w", "lease_until": -LATE}),
        (False, {"status": "running", "stage": "sending", "lease_owner": "w", "lease_until": LATE}),
        (True, {"status": "failed", "stage": "failed", "error_class": "unknown_outcome"}),
        (False, {"status": "failed", "stage": "failed", "error_class": "network"}),
        (False, {"status": "succeeded", "stage": "completed"}),
    ],
)
def test_an_execution_is_stuck_or_not(alice: Producer, expected: bool, fields: dict[str, Any]) -> None:
    now = clock.now()
    moments = {name: now + value if isinstance(value, timedelta) else value for name, value in fields.items()}
    execution_id = example_executions.create_execution(alice, alice.create(), **moments)
    assert list_stuck(alice) == ([execution_id] if expected else [])
