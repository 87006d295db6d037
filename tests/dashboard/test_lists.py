"""The list of executions: every filter is exact, and searches find the same with every query plan."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import clock
from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.queries import count
from models.reports import executions
from models.tables import Execution
from tests.dashboard import example_executions
from tests.dashboard.producers import Producer

Predicate = Callable[[dict[str, Any]], bool]


def list_ids(workspace_id: str, before: str | None = None, limit: int = 100, **fields: Any) -> list[str]:
    filters = ExecutionFilters(**fields)
    return [execution["id"] for execution in executions.fetch_page(workspace_id, filters, limit, before)]


def create_in_every_state(alice: Producer) -> dict[str, dict[str, Any]]:
    """Executions by id, with the columns they were inserted with."""
    automation, soon = alice.create(), clock.now() + timedelta(hours=1)
    waits = {"status": "waiting", "due_at": soon}
    lease = {"lease_owner": "w", "lease_until": soon}
    states: list[dict[str, Any]] = [
        {"status": "pending", "stage": "queued"},
        {"status": "running", "stage": "generating", **lease},
        {"status": "running", "stage": "sending", "error_class": "timeout", **lease},
        {**waits, "stage": "sent", "waiting_for": "time"},
        {**waits, "stage": "eligible", "waiting_for": "window", "test": True},
        {"status": "waiting", "stage": "ready_to_send", "waiting_for": "review"},
        {**waits, "stage": "failed", "waiting_for": "retry", "error_class": "timeout", "next_retry_at": soon},
        {"status": "failed", "stage": "failed", "error_class": "timeout"},
        {"status": "failed", "stage": "failed", "error_class": "unknown_outcome"},
        {"status": "skipped", "stage": "skipped", "skipped_rule": "tags"},
        {"status": "cancelled", "stage": "skipped", "skipped_rule": "cancelled", "test": True},
        {"status": "succeeded", "stage": "completed", "error_class": "timeout"},
        {"status": "succeeded", "stage": "completed"},
    ]
    return {example_executions.create_execution(alice, automation, **state): state for state in states}


def test_every_filter_matches_exactly_its_executions(alice: Producer) -> None:
    states = create_in_every_state(alice)
    in_flight: Predicate = lambda state: state["status"] in ("pending", "running", "waiting")  # noqa: E731
    review: Predicate = lambda state: state.get("waiting_for") == "review"  # noqa: E731
    unknown: Predicate = lambda state: state.get("error_class") == "unknown_outcome"  # noqa: E731
    cases: list[tuple[dict[str, Any], Predicate]] = [
        ({}, bool),
        *(({"status": name}, lambda state, name=name: state["status"] == name)
          for name in ("pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled")),
        *(({"stage": name}, lambda state, name=name: state["stage"] == name)
          for name in ("queued", "generating", "sending", "sent", "ready_to_send", "failed", "skipped", "completed")),
        ({"stage": "failed", "status": "waiting"},
         lambda state: (state["stage"], state["status"]) == ("failed", "waiting")),
        ({"in_flight": True}, in_flight),
        ({"in_flight": False}, lambda state: not in_flight(state)),
        ({"review": True}, review),
        ({"review": False}, lambda state: not review(state)),
        ({"outcome_unknown": True}, unknown),
        ({"outcome_unknown": False}, lambda state: not unknown(state)),
        ({"error_class": "timeout"}, lambda state: state.get("error_class") == "timeout"),
        ({"test": True}, lambda state: state.get("test", False)),
        ({"test": False}, lambda state: not state.get("test", False)),
    ]  # fmt: skip
    for fields, expected in cases:
        assert set(list_ids(alice.workspace_id, **fields)) == {
            execution_id for execution_id, state in states.items() if expected(state)
        }, fields


@pytest.mark.parametrize(
    ("newest", "few"), [(5000, 2000), (1, 2000), (1, 0)], ids=["among the newest", "by contact", "one by one"]
)
def test_a_search_finds_the_same_in_every_form(
    alice: Producer, charlie: Producer, monkeypatch: pytest.MonkeyPatch, newest: int, few: int
) -> None:
    monkeypatch.setattr(executions, "_SCAN_LIMIT", newest)
    monkeypatch.setattr(executions, "_MAX_CONTACTS", few)
    example_executions.create_execution(
        charlie, charlie.create(), contact_id=example_executions.create_contact(charlie, "Ada")
    )
    automation = alice.create()
    ada = example_executions.create_contact(alice, "Ada", last_name="Byron", email="ada@example.com", phone="+15550100")
    other = example_executions.create_contact(alice, "Adam")
    grace = example_executions.create_contact(alice, "Grace")
    skipped = {"status": "skipped", "stage": "skipped", "skipped_rule": "tags"}
    first = example_executions.create_execution(alice, automation, contact_id=ada)
    second = example_executions.create_execution(alice, automation, contact_id=other, **skipped)
    example_executions.create_execution(alice, automation, contact_id=grace)
    third = example_executions.create_execution(alice, automation, contact_id=ada)
    example_executions.create_execution(alice, automation)
    mine = alice.workspace_id
    assert list_ids(mine, q="ada") == [third, second, first]
    assert (
        list_ids(mine, q="byron ad")
        == list_ids(mine, q=" Ada@Example.com ")
        == list_ids(mine, q="+15550100")
        == [third, first]
    )
    assert list_ids(mine, q="ada", status="skipped") == [second]
    assert list_ids(mine, q="ada", limit=2) == [third, second]
    assert list_ids(mine, q="ada", limit=2, before=second) == [first]
    assert list_ids(mine, q="nobody") == list_ids(mine, q="!!") == []
    # Bulk actions use only the condition of the filters.
    with acting_as(mine):
        assert count(Execution.select().where(ExecutionFilters(q="ada", status="skipped").build_condition())) == 1
