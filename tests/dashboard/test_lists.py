"""The list of executions: every filter names exactly what it says, and words find the same in every way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import clock
from models.database import acting_as, value
from models.reports import executions
from models.reports.filters import ExecutionFilters
from tests.dashboard import stories
from tests.dashboard.cast import Producer

Found = Callable[[dict[str, Any]], bool]


def ids(workspace_id: str, before: str | None = None, limit: int = 100, **wanted: Any) -> list[str]:
    filters = ExecutionFilters(**wanted)
    return [one["id"] for one in executions.page(workspace_id, filters, limit, before)]


def in_every_state(alice: Producer) -> dict[str, dict[str, Any]]:
    """Executions by their ids, with what they were made of."""
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
    return {stories.execution(alice, automation, **state): state for state in states}


def test_every_filter_names_exactly_what_it_says(alice: Producer) -> None:
    made = in_every_state(alice)
    in_flight: Found = lambda one: one["status"] in ("pending", "running", "waiting")  # noqa: E731
    review: Found = lambda one: one.get("waiting_for") == "review"  # noqa: E731
    unknown: Found = lambda one: one.get("error_class") == "unknown_outcome"  # noqa: E731
    wanted: list[tuple[dict[str, Any], Found]] = [
        ({}, bool),
        *(({"status": name}, lambda one, name=name: one["status"] == name)
          for name in ("pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled")),
        *(({"stage": name}, lambda one, name=name: one["stage"] == name)
          for name in ("queued", "generating", "sending", "sent", "ready_to_send", "failed", "skipped", "completed")),
        ({"stage": "failed", "status": "waiting"}, lambda one: (one["stage"], one["status"]) == ("failed", "waiting")),
        ({"in_flight": True}, in_flight),
        ({"in_flight": False}, lambda one: not in_flight(one)),
        ({"review": True}, review),
        ({"review": False}, lambda one: not review(one)),
        ({"outcome_unknown": True}, unknown),
        ({"outcome_unknown": False}, lambda one: not unknown(one)),
        ({"error_class": "timeout"}, lambda one: one.get("error_class") == "timeout"),
        ({"test": True}, lambda one: one.get("test", False)),
        ({"test": False}, lambda one: not one.get("test", False)),
    ]  # fmt: skip
    for given, expected in wanted:
        assert set(ids(alice.workspace_id, **given)) == {one for one, state in made.items() if expected(state)}, given


@pytest.mark.parametrize(
    ("newest", "few"), [(5000, 2000), (1, 2000), (1, 0)], ids=["among the newest", "by contact", "one by one"]
)
def test_words_find_the_same_however_they_are_looked_for(
    alice: Producer, charlie: Producer, monkeypatch: pytest.MonkeyPatch, newest: int, few: int
) -> None:
    monkeypatch.setattr(executions, "_NEWEST", newest)
    monkeypatch.setattr(executions, "_FEW_CONTACTS", few)
    stories.execution(charlie, charlie.create(), contact_id=stories.contact(charlie, "Ada"))
    automation = alice.create()
    ada = stories.contact(alice, "Ada", last_name="Byron", email="ada@example.com", phone="+15550100")
    other = stories.contact(alice, "Adam")
    grace = stories.contact(alice, "Grace")
    skipped = {"status": "skipped", "stage": "skipped", "skipped_rule": "tags"}
    first = stories.execution(alice, automation, contact_id=ada)
    second = stories.execution(alice, automation, contact_id=other, **skipped)
    stories.execution(alice, automation, contact_id=grace)
    third = stories.execution(alice, automation, contact_id=ada)
    stories.execution(alice, automation)
    mine = alice.workspace_id
    assert ids(mine, q="ada") == [third, second, first]
    assert ids(mine, q="byron ad") == ids(mine, q=" Ada@Example.com ") == ids(mine, q="+15550100") == [third, first]
    assert ids(mine, q="ada", status="skipped") == [second]
    assert ids(mine, q="ada", limit=2) == [third, second]
    assert ids(mine, q="ada", limit=2, before=second) == [first]
    assert ids(mine, q="nobody") == ids(mine, q="!!") == []
    # What is done to all that match finds them by the filters' condition alone.
    where, parameters = ExecutionFilters(q="ada", status="skipped").where()
    with acting_as(mine):
        assert value(f"select count(*) from executions e where {where}", parameters) == 1
