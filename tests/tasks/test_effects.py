"""What a step changes besides its own execution happens exactly when it is recorded, and once."""

from __future__ import annotations

import time
from typing import Any

from crew import at_once, let_lease_run_out
from dramatiq import Worker

from cast import Alice, bob, finished
from models.database import row, rows, value
from models.ledger import Ledger
from tasks.engine import Engine
from tasks.passage import Passage
from tasks.quiet_steps import create_task, update_contact

CHANGES: list[dict[str, Any]] = [
    {"id": "tag", "action": "update_contact",
     "with": {"add_tags": ["vip", "{{ payload.tag }}"], "remove_tags": ["lead"], "set": {"plan": "pro", "old": None}}},
    {"id": "call", "action": "create_task",
     "with": {"title": "Call {{ contact.first_name }}", "due_in": "1d", "assignee": "ann@example.com"}},
]  # fmt: skip


def test_tags_are_added_and_removed_and_attributes_merged(engine: Engine) -> None:
    alice = Alice()
    alice.automation(CHANGES)

    finished(alice.trigger(payload={"tag": "new"}, contact=bob(attributes={"old": 1, "kept": 2})))

    found = row("select tags, attributes from contacts")
    assert found is not None
    assert (sorted(found["tags"]), found["attributes"]) == (["new", "vip"], {"plan": "pro", "kept": 2})


def test_a_task_is_made_with_its_words_and_its_day(engine: Engine) -> None:
    alice = Alice()
    alice.automation(CHANGES)
    accepted = alice.trigger(payload={"tag": "new"})
    finished(accepted)

    (task,) = rows("select *, due_at - created_at as due_in from contact_tasks")
    assert (task["title"], task["assignee"], task["due_in"].days) == ("Call Bob", "ann@example.com", 1)
    assert (task["contact_id"], task["workspace_id"]) == (accepted.contact_id, alice.workspace_id)


def test_many_executions_change_one_contact_without_losing_a_tag(engine: Engine) -> None:
    alice = Alice()
    alice.automation([{"id": "tag", "action": "update_contact", "with": {"add_tags": ["{{ payload.tag }}"]}}])

    accepted = at_once(12, lambda n: alice.trigger(payload={"tag": f"t{n}"}))
    for one in accepted:
        finished(one)

    found = row("select tags from contacts")
    assert found is not None
    assert set(found["tags"]) == {"lead", *(f"t{n}" for n in range(12))}


def test_a_worker_that_lost_its_lease_makes_no_task_and_changes_no_contact(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(CHANGES)
    execution_id = alice.trigger(payload={"tag": "x"}).executions[0]["executionId"]
    before = row("select * from contacts")
    ledger = Ledger("loses its lease", 30.0)
    claimed = ledger.claim(execution_id)
    assert claimed is not None
    late = Passage(claimed, engine.workflow(claimed["version_id"]), time.monotonic())
    let_lease_run_out(execution_id)
    assert engine.ledger.claim(execution_id) is not None

    late.enter("eligible")
    update_contact(engine, late, late.workflow.steps[0])
    create_task(engine, late, late.workflow.steps[1])

    assert ledger.record(late.progress()) is False
    ledger.close()
    assert row("select * from contacts") == before
    assert value("select count(*) from contact_tasks") == 0


def test_a_record_that_is_written_twice_makes_one_task(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(CHANGES)
    execution_id = alice.trigger(payload={"tag": "x"}).executions[0]["executionId"]
    claimed = engine.ledger.claim(execution_id)
    assert claimed is not None
    passage = Passage(claimed, engine.workflow(claimed["version_id"]), time.monotonic())
    passage.enter("eligible")
    create_task(engine, passage, passage.workflow.steps[1])
    progress = passage.progress()

    assert [engine.ledger.record(progress) for _ in range(3)] == [True, False, False]
    assert value("select count(*) from contact_tasks") == 1
