"""Messages that a person reads first: none leaves without a yes, and every decision is taken once."""

from __future__ import annotations

from typing import Any

import pytest
from crew import at_once, books_balance, provider_calls
from dramatiq import Worker

from cast import HELLO, WRITTEN, Alice, at_rest, execution, finished, messages, steps
from models import verification
from models.audit import SYSTEM
from models.database import changed, row, rows, value
from models.refusals import Conflict, NotThere
from models.reports import executions as report
from models.reports.filters import ExecutionFilters
from sandbox.server import Running
from settings import Settings
from tasks import operators, reviews, sweeps
from tasks.engine import Engine
from waiting import eventually

REVIEWED = [WRITTEN[0], {**WRITTEN[1], "review": True}]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def to_review(alice: Alice, steps_: list[dict[str, Any]] = REVIEWED, **rules: Any) -> dict[str, Any]:
    """A message that waits for a person."""
    alice.automation(steps_, rules=rules or None)
    waiting = at_rest(alice.trigger())
    assert (waiting["stage"], waiting["waiting_for"], waiting["due_at"]) == ("ready_to_send", "review", None)
    return messages(waiting["id"])[0]


def test_a_message_waits_for_a_person_with_its_text_on_record(alice: Alice, sandbox: Running) -> None:
    message = to_review(alice)
    assert (message["status"], bool(message["body"]), provider_calls(sandbox)) == ("review", True, 0)
    found = report.page(alice.workspace_id, ExecutionFilters(review=True), 10)
    assert [one["id"] for one in found] == [message["execution_id"]]
    assert all(one.holds for one in verification.verify(alice.workspace_id))


def test_a_yes_sends_it_as_it_stands(alice: Alice, sandbox: Running) -> None:
    message = to_review(alice)
    reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    assert finished(message["execution_id"])["status"] == "succeeded"
    (sent,) = messages(message["execution_id"])
    assert (sent["status"], sent["body"]) == ("sent", message["body"])
    assert row("select action, detail from audit where object_id = %s", (message["id"],)) == {
        "action": "message.approved", "detail": {"edited": False},
    }  # fmt: skip


def test_a_yes_with_another_text_sends_that(alice: Alice, sandbox: Running) -> None:
    message = to_review(alice)
    reviews.approve(alice.workspace_id, message["id"], SYSTEM, "Dear Bob, come again.")
    finished(message["execution_id"])
    assert sandbox.messages(provider="mailgun")[0]["body"]["text"] == "Dear Bob, come again."
    assert value("select detail->>'edited' from audit where object_id = %s", (message["id"],)) == "true"


def test_a_no_skips_the_step_and_the_workflow_goes_on(alice: Alice, sandbox: Running) -> None:
    tag = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["spared"]}}
    message = to_review(alice, [*REVIEWED, tag], daily_limit=5)

    reviews.reject(alice.workspace_id, message["id"], SYSTEM)

    done = finished(message["execution_id"])
    assert (done["status"], done["skipped_rule"]) == ("skipped", "rejected")
    assert (messages(done["id"])[0]["status"], steps(done["id"])["hello"]["status"]) == ("discarded", "skipped")
    assert value("select tags from contacts") == ["lead", "spared"]
    assert (provider_calls(sandbox), row("select 1 from limit_reservations")) == (0, None)
    books_balance()
    assert all(one.holds for one in verification.verify(alice.workspace_id))


def test_of_many_who_decide_at_once_one_does(alice: Alice, sandbox: Running) -> None:
    message = to_review(alice)

    def decide(hand: int) -> bool:
        try:
            if hand % 2:
                reviews.reject(alice.workspace_id, message["id"], SYSTEM)
            else:
                reviews.approve(alice.workspace_id, message["id"], SYSTEM, f"by {hand}")
        except Conflict:
            return False
        return True

    assert sum(at_once(8, decide)) == 1
    status = finished(message["execution_id"])["status"]
    assert (status, provider_calls(sandbox)) in (("succeeded", 1), ("skipped", 0))


def test_who_may_not_decide_is_told_so(alice: Alice) -> None:
    message = to_review(alice)
    with pytest.raises(NotThere):
        reviews.approve(Alice(name="charlie").workspace_id, message["id"], SYSTEM)
    with pytest.raises(NotThere):
        reviews.reject(alice.workspace_id, "nonsense", SYSTEM)
    operators.cancel_execution(alice.workspace_id, message["execution_id"], SYSTEM)
    with pytest.raises(Conflict, match="discarded"):
        reviews.approve(alice.workspace_id, message["id"], SYSTEM)


def test_a_yes_during_a_pause_is_not_forgotten(alice: Alice, sandbox: Running, settings: Settings) -> None:
    message = to_review(alice)
    automation_id = message["automation_id"]
    operators.hold("automation", automation_id, alice.workspace_id, SYSTEM)
    changed("update executions set due_at = beckon_now(), waiting_for = 'time', rung_at = '2000-01-01'")
    sweeps.wake_due(settings)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "pause")

    reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    assert execution(message["execution_id"])["waiting_for"] == "pause"
    operators.let_go("automation", automation_id, alice.workspace_id, SYSTEM)

    assert finished(message["execution_id"])["status"] == "succeeded"
    assert provider_calls(sandbox) == 1


def test_what_ends_a_pause_is_no_yes(alice: Alice, sandbox: Running, settings: Settings) -> None:
    message = to_review(alice)
    operators.hold("automation", message["automation_id"], alice.workspace_id, SYSTEM)
    changed("update executions set due_at = beckon_now(), waiting_for = 'time', rung_at = '2000-01-01'")
    sweeps.wake_due(settings)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "pause")
    operators.let_go("automation", message["automation_id"], alice.workspace_id, SYSTEM)
    assert eventually(lambda: execution(message["execution_id"])["waiting_for"] == "review")
    assert provider_calls(sandbox) == 0


def test_a_worker_that_has_the_execution_is_not_decided_past(alice: Alice, idle: Worker, sandbox: Running) -> None:
    alice.automation(REVIEWED)
    accepted = alice.trigger()
    idle.resume()
    waiting = at_rest(accepted)
    changed(
        "update executions set status = 'running', lease_until = beckon_now() + interval '1 hour', "
        "lease_owner = 'a worker' where id = %s", (waiting["id"],)
    )  # fmt: skip
    message = messages(waiting["id"])[0]
    with pytest.raises(Conflict, match="moment"):
        reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    assert messages(waiting["id"])[0]["status"] == "review"


def test_each_follow_up_is_reviewed_too(alice: Alice, sandbox: Running, settings: Settings) -> None:
    message = to_review(alice, [{**HELLO[0], "review": True}], follow_ups={"max": 1, "every": "24h"})
    reviews.approve(alice.workspace_id, message["id"], SYSTEM)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "follow_up")
    changed("update steps set finished_at = finished_at - interval '1 day'")
    changed("update executions set due_at = beckon_now(), rung_at = '2000-01-01'")
    sweeps.wake_due(settings)
    eventually(lambda: execution(message["execution_id"])["waiting_for"] == "review")

    second = rows("select id from messages where status = 'review'")
    reviews.reject(alice.workspace_id, second[0]["id"], SYSTEM)

    done = finished(message["execution_id"])
    assert (done["status"], done["follow_up_ended_because"]["rule"]) == ("succeeded", "rejected")
    assert provider_calls(sandbox) == 1
