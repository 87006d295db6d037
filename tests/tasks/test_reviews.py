"""Reviews: no message is sent without an approval, and every decision is made once."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq import Worker

from models.audit import SYSTEM
from models.checks import verification
from models.errors import Conflict, NotFound
from models.execution_filters import ExecutionFilters
from models.queries import execute, fetch_value
from models.reports import executions as report
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import actions as operator_actions
from tasks.operators import reviews
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, count_provider_calls, run_concurrently
from tests.support.factories import (
    HELLO,
    WRITTEN,
    Alice,
    execution,
    messages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

REVIEWED = [WRITTEN[0], {**WRITTEN[1], "review": True}]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def create_message_for_review(alice: Alice, steps_: list[dict[str, Any]] = REVIEWED, **rules: Any) -> dict[str, Any]:
    """Return a message that waits for its review."""
    alice.automation(steps_, rules=rules or None)
    waiting = wait_for_status(alice.trigger())
    assert (waiting["stage"], waiting["waiting_for"], waiting["due_at"]) == ("ready_to_send", "review", None)
    return messages(waiting["id"])[0]


def test_a_message_in_review_waits_with_its_text_recorded(alice: Alice, sandbox: RunningSandbox) -> None:
    message = create_message_for_review(alice)
    assert (message["status"], bool(message["body"]), count_provider_calls(sandbox)) == ("review", True, 0)
    executions = report.fetch_page(alice.workspace_id, ExecutionFilters(review=True), 10)
    assert [execution_row["id"] for execution_row in executions] == [message["execution_id"]]
    assert all(check.holds for check in verification.verify(alice.workspace_id))


def test_an_approval_sends_the_message_unchanged(alice: Alice, sandbox: RunningSandbox) -> None:
    message = create_message_for_review(alice)
    reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    assert wait_until_finished(message["execution_id"])["status"] == "succeeded"
    (sent,) = messages(message["execution_id"])
    assert (sent["status"], sent["body"]) == ("sent", message["body"])
    assert fetch_row("select action, detail from audit where object_id = %s", (message["id"],)) == {
        "action": "message.approved", "detail": {"edited": False},
    }  # fmt: skip


def test_an_approval_with_another_text_sends_that_text(alice: Alice, sandbox: RunningSandbox) -> None:
    message = create_message_for_review(alice)
    reviews.approve(alice.workspace_id, message["id"], SYSTEM, "Dear Bob, come again.")
    wait_until_finished(message["execution_id"])
    assert sandbox.list_messages(provider="mailgun")[0]["body"]["text"] == "Dear Bob, come again."
    assert fetch_value("select detail->>'edited' from audit where object_id = %s", (message["id"],)) == "true"


def test_a_rejection_skips_the_step_and_the_workflow_continues(alice: Alice, sandbox: RunningSandbox) -> None:
    tag = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["spared"]}}
    message = create_message_for_review(alice, [*REVIEWED, tag], daily_limit=5)

    reviews.reject(alice.workspace_id, message["id"], SYSTEM)

    done = wait_until_finished(message["execution_id"])
    assert (done["status"], done["skipped_rule"]) == ("skipped", "rejected")
    assert (messages(done["id"])[0]["status"], steps(done["id"])["hello"]["status"]) == ("discarded", "skipped")
    assert fetch_value("select tags from contacts") == ["lead", "spared"]
    assert (count_provider_calls(sandbox), fetch_row("select 1 from limit_reservations")) == (0, None)
    assert_consistent()
    assert all(check.holds for check in verification.verify(alice.workspace_id))


def test_of_concurrent_decisions_one_wins(alice: Alice, sandbox: RunningSandbox) -> None:
    message = create_message_for_review(alice)

    def decide(index: int) -> bool:
        try:
            if index % 2:
                reviews.reject(alice.workspace_id, message["id"], SYSTEM)
            else:
                reviews.approve(alice.workspace_id, message["id"], SYSTEM, f"by {index}")
        except Conflict:
            return False
        return True

    assert sum(run_concurrently(8, decide)) == 1
    status = wait_until_finished(message["execution_id"])["status"]
    assert (status, count_provider_calls(sandbox)) in (("succeeded", 1), ("skipped", 0))


def test_an_invalid_decision_is_refused(alice: Alice) -> None:
    message = create_message_for_review(alice)
    with pytest.raises(NotFound):
        reviews.approve(Alice(name="charlie").workspace_id, message["id"], SYSTEM)
    with pytest.raises(NotFound):
        reviews.reject(alice.workspace_id, "nonsense", SYSTEM)
    operator_actions.cancel_execution(alice.workspace_id, message["execution_id"], SYSTEM)
    with pytest.raises(Conflict, match="discarded"):
        reviews.approve(alice.workspace_id, message["id"], SYSTEM)


def test_an_approval_during_a_pause_is_not_lost(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    message = create_message_for_review(alice)
    automation_id = message["automation_id"]
    operator_actions.set_pause("automation", automation_id, alice.workspace_id, SYSTEM)
    execute("update executions set due_at = beckon_now(), waiting_for = 'time', rung_at = '2000-01-01'")
    periodic_jobs.enqueue_due(settings)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "pause")

    reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    assert execution(message["execution_id"])["waiting_for"] == "pause"
    operator_actions.resume("automation", automation_id, alice.workspace_id, SYSTEM)

    assert wait_until_finished(message["execution_id"])["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 1


def test_the_end_of_a_pause_is_no_approval(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    message = create_message_for_review(alice)
    operator_actions.set_pause("automation", message["automation_id"], alice.workspace_id, SYSTEM)
    execute("update executions set due_at = beckon_now(), waiting_for = 'time', rung_at = '2000-01-01'")
    periodic_jobs.enqueue_due(settings)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "pause")
    operator_actions.resume("automation", message["automation_id"], alice.workspace_id, SYSTEM)
    assert eventually(lambda: execution(message["execution_id"])["waiting_for"] == "review")
    assert count_provider_calls(sandbox) == 0


def test_an_execution_that_a_worker_holds_cannot_be_decided(
    alice: Alice, idle: Worker, sandbox: RunningSandbox
) -> None:
    alice.automation(REVIEWED)
    accepted = alice.trigger()
    idle.resume()
    waiting = wait_for_status(accepted)
    execute(
        "update executions set status = 'running', lease_until = beckon_now() + interval '1 hour', "
        "lease_owner = 'a worker' where id = %s", (waiting["id"],)
    )  # fmt: skip
    message = messages(waiting["id"])[0]
    with pytest.raises(Conflict, match="moment"):
        reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    assert messages(waiting["id"])[0]["status"] == "review"


def test_each_follow_up_is_reviewed_too(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    message = create_message_for_review(alice, [{**HELLO[0], "review": True}], follow_ups={"max": 1, "every": "24h"})
    reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "follow_up")
    execute("update steps set finished_at = finished_at - interval '1 day'")
    execute("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    periodic_jobs.enqueue_due(settings)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "review")

    second = fetch_rows("select id from messages where status = 'review'")
    reviews.reject(alice.workspace_id, second[0]["id"], SYSTEM)

    done = wait_until_finished(message["execution_id"])
    assert (done["status"], done["follow_up_ended_because"]["rule"]) == ("succeeded", "rejected")
    assert count_provider_calls(sandbox) == 1
