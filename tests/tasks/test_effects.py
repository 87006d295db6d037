"""A step's effects on other rows happen exactly when the step is recorded, and once."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq import Worker

from models.engine.group_commit import GroupCommit
from models.queries import fetch_value
from tasks.runtime import moves
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.steps.local_steps import create_task, update_contact
from tests.support.concurrency import claim, expire_lease, run_concurrently
from tests.support.factories import Alice, bob, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows

CHANGES: list[dict[str, Any]] = [
    {"id": "tag", "action": "update_contact",
     "with": {"add_tags": ["vip", "{{ payload.tag }}"], "remove_tags": ["lead"], "set": {"plan": "pro", "old": None}}},
    {"id": "call", "action": "create_task",
     "with": {"title": "Call {{ contact.first_name }}", "due_in": "1d", "assignee": "ann@example.com"}},
]  # fmt: skip


def test_tags_are_added_and_removed_and_attributes_merged(engine: Engine) -> None:
    alice = Alice()
    alice.automation(CHANGES)

    wait_until_finished(alice.trigger(payload={"tag": "new"}, contact=bob(attributes={"old": 1, "kept": 2})))

    contact = fetch_row("select tags, attributes from contacts")
    assert contact is not None
    assert (sorted(contact["tags"]), contact["attributes"]) == (["new", "vip"], {"plan": "pro", "kept": 2})


def test_a_task_is_created_with_its_title_and_due_date(engine: Engine) -> None:
    alice = Alice()
    alice.automation(CHANGES)
    accepted = alice.trigger(payload={"tag": "new"})
    wait_until_finished(accepted)

    (task,) = fetch_rows("select *, due_at - created_at as due_in from contact_tasks")
    assert (task["title"], task["assignee"], task["due_in"].days) == ("Call Bob", "ann@example.com", 1)
    assert (task["contact_id"], task["workspace_id"]) == (accepted.contact_id, alice.workspace_id)


def test_many_executions_change_one_contact_without_losing_a_tag(engine: Engine) -> None:
    alice = Alice()
    alice.automation([{"id": "tag", "action": "update_contact", "with": {"add_tags": ["{{ payload.tag }}"]}}])

    accepted = run_concurrently(12, lambda n: alice.trigger(payload={"tag": f"t{n}"}))
    for trigger in accepted:
        wait_until_finished(trigger)

    contact = fetch_row("select tags from contacts")
    assert contact is not None
    assert set(contact["tags"]) == {"lead", *(f"t{n}" for n in range(12))}


def begin_update(engine: Engine, execution_id: str) -> ClaimedExecution:
    """Claim an execution and run its step, which sees the contact as it is now; nothing is recorded."""
    claimed_row = claim(engine.group_commit, execution_id)
    assert claimed_row is not None
    claimed = ClaimedExecution(claimed_row, engine.load_workflow(claimed_row["version_id"]))
    moves.enter(claimed, "eligible")
    update_contact(engine, claimed, claimed.workflow.steps[0])
    return claimed


@pytest.mark.parametrize(
    ("before", "first", "second"),
    [
        ({"tags": [f"t{n}" for n in range(99)]}, {"add_tags": ["a"]}, {"add_tags": ["b"]}),
        ({"attributes": {"old": "x" * 10_500}}, {"set": {"a": "x" * 3000}}, {"set": {"b": "x" * 3000}}),
    ],
)
def test_two_executions_at_once_never_bring_a_contact_over_its_limits(
    engine: Engine, idle: Worker, before: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    alice = Alice()
    contact = {"email": "bob@example.com", **before}
    begun = []
    for change in (first, second):
        alice.automation([{"id": "update", "action": "update_contact", "with": change}], trigger=f"event.{len(begun)}")
        accepted = alice.trigger(type=f"event.{len(begun)}", contact=contact)
        begun.append(begin_update(engine, accepted.executions[0]["executionId"]))

    assert engine.group_commit.record(begun[0].take_record())
    changed = fetch_row("select tags, attributes from contacts")
    assert engine.group_commit.record(begun[1].take_record())

    assert fetch_row("select tags, attributes from contacts") == changed
    rows = {row["execution_id"]: row for row in fetch_rows("select execution_id, status, output from steps")}
    assert [rows[claimed.execution_id]["status"] for claimed in begun] == ["succeeded", "skipped"]
    assert "other executions have added to it" in rows[begun[1].execution_id]["output"]["skipped"]["words"]


def test_a_worker_that_lost_its_lease_changes_no_task_and_no_contact(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(CHANGES)
    execution_id = alice.trigger(payload={"tag": "x"}).executions[0]["executionId"]
    before = fetch_row("select * from contacts")
    group_commit = GroupCommit("loses its lease", 30.0)
    claimed_row = claim(group_commit, execution_id)
    assert claimed_row is not None
    late = ClaimedExecution(claimed_row, engine.load_workflow(claimed_row["version_id"]))
    expire_lease(execution_id)
    assert claim(engine.group_commit, execution_id) is not None

    moves.enter(late, "eligible")
    update_contact(engine, late, late.workflow.steps[0])
    create_task(engine, late, late.workflow.steps[1])

    assert group_commit.record(late.take_record()) is False
    group_commit.close()
    assert fetch_row("select * from contacts") == before
    assert fetch_value("select count(*) from contact_tasks") == 0


def test_a_record_written_twice_creates_one_task(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(CHANGES)
    execution_id = alice.trigger(payload={"tag": "x"}).executions[0]["executionId"]
    claimed_row = claim(engine.group_commit, execution_id)
    assert claimed_row is not None
    claimed = ClaimedExecution(claimed_row, engine.load_workflow(claimed_row["version_id"]))
    moves.enter(claimed, "eligible")
    create_task(engine, claimed, claimed.workflow.steps[1])
    record = claimed.take_record()

    assert [engine.group_commit.record(record) for _ in range(3)] == [True, False, False]
    assert fetch_value("select count(*) from contact_tasks") == 1
