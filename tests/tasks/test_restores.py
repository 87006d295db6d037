"""After a restore from a backup: what left is marked, what may have left waits for a decision, nothing leaves twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import clock
from models.audit import SYSTEM
from models.database import transaction
from models.errors import Conflict
from models.restored_messages import count_on_their_way
from providers.base import OutgoingMessage
from providers.registry import SENDERS, build_sandbox_account
from sandbox.server import RunningSandbox
from settings import Settings
from tasks.operators import actions as operator_actions
from tasks.operators import restores
from tasks.operators.restores import RestoreCheck, check_restore
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, count_provider_calls
from tests.support.factories import (
    HELLO,
    Alice,
    bob,
    counters,
    execution,
    messages,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually
from workers.worker_process import RunningWorker

SMS = [{"id": "text", "action": "send_sms", "with": {"body": "Hi"}}]
NOTICE = [{"id": "note", "action": "notify", "with": {"channel": "slack", "text": "Hi"}}]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def restore(alice: Alice, idle: RunningWorker, count: int = 1) -> list[str]:
    """Start executions that the backup has and that rest before their first send, which is paused; return their ids."""
    contacts = [bob(external_id=str(n), email=f"bob-{n}@example.com", phone=f"+1555012{n}") for n in range(count)]
    ids = [execution(accepted)["id"] for accepted in alice.triggers([{"contact": contact} for contact in contacts])]
    restores.pause_sends(SYSTEM)
    idle.resume()
    for execution_id in ids:
        wait_for_status(execution_id)
    return ids


def send_before(sandbox: RunningSandbox, execution_id: str, step_id: str = "hello") -> None:
    """Have Mailgun's sandbox accept the message of a step, as it did before the restore."""
    outgoing = OutgoingMessage(key=f"{execution_id}:{step_id}:0", to="bob@example.com", body="Hi!", subject="Hello")
    SENDERS["mailgun"].send(build_sandbox_account("mailgun", sandbox.url), outgoing)


def check(settings: Settings) -> RestoreCheck:
    return check_restore(settings, clock.now() - timedelta(minutes=1), 20, SYSTEM)


def read_audit(alice: Alice) -> list[str]:
    rows = fetch_rows("select action from audit where workspace_id = %s order by id", (alice.workspace_id,))
    return [row["action"] for row in rows]


def test_what_the_provider_lists_is_marked_and_the_rest_is_decided(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation()
    left, kept = restore(alice, idle, 2)
    send_before(sandbox, left)

    result = check(settings)

    assert (result.sent, result.undecided, result.on_their_way) == ({"mailgun": 1}, {"mailgun": 1}, 0)
    assert [row["execution_id"] for row in result.messages] == [kept]
    assert restores.decide("resend", "mailgun", None, SYSTEM) == 1
    eventually(lambda: execution(kept)["waiting_for"] == "pause")
    restores.resume_sends(SYSTEM)
    assert [wait_until_finished(id_)["status"] for id_ in (left, kept)] == ["succeeded", "succeeded"]
    assert count_provider_calls(sandbox) == 2
    assert messages(left)[0]["provider_message_id"]
    assert list(dict.fromkeys(read_audit(alice)))[-4:] == [
        "sends.paused", "sends.checked", "messages.resend", "sends.resumed",
    ]  # fmt: skip
    assert_consistent()


def test_a_message_that_its_execution_has_not_written_is_not_sent_again(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([*HELLO, {**HELLO[0], "id": "later"}])
    (execution_id,) = restore(alice, idle)
    send_before(sandbox, execution_id)
    send_before(sandbox, execution_id, "later")

    assert check(settings).sent == {"mailgun": 2}

    restores.resume_sends(SYSTEM)
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 2
    assert_consistent()


def test_an_approval_after_the_backup_is_not_asked_for_again(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([{**HELLO[0], "review": True}])
    (execution_id,) = restore(alice, idle)
    send_before(sandbox, execution_id)

    check(settings)

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 1


@pytest.mark.parametrize(("steps", "provider"), [(SMS, "telnyx"), (NOTICE, "slack")])
@pytest.mark.parametrize(("decision", "status"), [("sent", "succeeded"), ("discard", "cancelled")])
def test_a_provider_that_lists_nothing_leaves_the_decision(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings, steps: Any, provider: str,
    decision: Any, status: str,
) -> None:  # fmt: skip
    alice.automation(steps)
    (execution_id,) = restore(alice, idle)

    assert check(settings).undecided == {provider: 1}

    assert restores.decide(decision, None, [alice.workspace_id], SYSTEM) == 1
    restores.resume_sends(SYSTEM)
    assert wait_until_finished(execution_id)["status"] == status
    assert count_provider_calls(sandbox) == 0
    assert_consistent()


def test_without_a_decision_nothing_that_may_have_left_is_sent(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    automation_id = alice.automation(NOTICE)
    (execution_id,) = restore(alice, idle)
    check(settings)

    restores.resume_sends(SYSTEM)

    assert (execution(execution_id)["status"], execution(execution_id)["error_code"]) == ("failed", "restored")
    assert counters(alice.workspace_id, automation_id)["failed"] == 1
    assert_consistent()


def test_a_trigger_accepted_after_the_restore_waits_and_is_sent_once_resumed(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation()
    restores.pause_sends(SYSTEM)
    idle.resume()
    execution_id = execution(alice.trigger())["id"]
    assert wait_for_status(execution_id)["waiting_for"] == "pause"

    assert check(settings).undecided == {}

    restores.resume_sends(SYSTEM)
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 1


def test_a_key_of_another_workspaces_execution_marks_nothing(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    charlie = Alice(demo=False, name="charlie")
    charlie.automation()
    (execution_id,) = restore(charlie, idle)
    send_before(sandbox, execution_id)

    # The sandbox is the account of the demo workspace, alice's, alone.
    assert check(settings).sent == {"mailgun": 0}
    assert messages(execution_id)[0]["status"] == "outcome_unknown"


def test_an_operators_own_pause_survives_the_resume(alice: Alice) -> None:
    operator_actions.set_pause("provider", "mailgun", alice.workspace_id, SYSTEM, reason="audit")
    restores.pause_sends(SYSTEM)
    restores.resume_sends(SYSTEM)
    rows = fetch_rows("select name, reason from pauses where workspace_id = %s", (alice.workspace_id,))
    assert [(row["name"], row["reason"]) for row in rows] == [("mailgun", "operator")]


def test_the_check_refuses_where_sends_are_not_paused(alice: Alice, settings: Settings) -> None:
    with pytest.raises(Conflict, match="beckon up --paused"):
        check(settings)


def test_what_is_due_and_not_yet_held_is_counted(alice: Alice, idle: RunningWorker) -> None:
    alice.automation()
    alice.trigger()
    restores.pause_sends(SYSTEM)
    with transaction():
        assert count_on_their_way() == 1
    idle.resume()
    eventually(lambda: count_on_their_way() == 0)


def test_a_failure_of_the_provider_is_reported_and_nothing_is_taken_for_unsent(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation()
    (execution_id,) = restore(alice, idle)
    sandbox.add_fault(provider="mailgun", fault="auth", times=0, match={"call": "look_up"})

    result = check(settings)

    assert (list(result.errors), result.undecided) == (["mailgun"], {"mailgun": 1})
    assert messages(execution_id)[0]["status"] == "outcome_unknown"


def send_sms_before(sandbox: RunningSandbox, to: str = "+15550120") -> str | None:
    """Have Telnyx's sandbox accept a text to a number, as it did before the restore; return its id."""
    outgoing = OutgoingMessage(key="k", to=to, body="Hi", sender="+15550199")
    return SENDERS["telnyx"].send(build_sandbox_account("telnyx", sandbox.url), outgoing).provider_message_id


def test_an_sms_that_telnyx_has_a_record_of_is_marked_and_the_rest_is_held(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(SMS)
    left, kept = restore(alice, idle, 2)
    provider_message_id = send_sms_before(sandbox)

    result = check(settings)

    assert (result.sent, result.undecided, result.errors) == ({"mailgun": 0, "telnyx": 1}, {"telnyx": 1}, {})
    assert [row["execution_id"] for row in result.messages] == [kept]
    assert (messages(left)[0]["status"], messages(left)[0]["provider_message_id"]) == ("sent", provider_message_id)
    assert [entry["found"] for entry in messages(left)[0]["look_up_log"]] == [True]
    assert messages(kept)[0]["look_up_log"][0]["found"] is False
    assert check(settings).undecided == {"telnyx": 1}, "no record never means that nothing was sent"
    restores.decide("resend", "telnyx", None, SYSTEM)
    eventually(lambda: execution(kept)["waiting_for"] == "pause")
    restores.resume_sends(SYSTEM)
    assert [wait_until_finished(id_)["status"] for id_ in (left, kept)] == ["succeeded", "succeeded"]
    assert len(sandbox.list_messages("telnyx")) == 2
    assert_consistent()


def test_two_records_of_a_number_prove_nothing(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(SMS)
    (execution_id,) = restore(alice, idle)
    send_sms_before(sandbox)
    send_sms_before(sandbox)

    result = check(settings)

    assert (result.sent, result.undecided) == ({"mailgun": 0}, {"telnyx": 1})
    assert messages(execution_id)[0]["status"] == "outcome_unknown"


def test_one_record_of_a_number_with_two_messages_proves_nothing(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(SMS)
    alice.automation(SMS, name="Other")
    accepted = alice.trigger(contact=bob(external_id="0", phone="+15550120"))
    restores.pause_sends(SYSTEM)
    idle.resume()
    eventually(lambda: not count_on_their_way())
    send_sms_before(sandbox)

    assert check(settings).undecided == {"telnyx": len(accepted.executions)}


def test_a_record_from_before_the_backup_proves_nothing(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(SMS)
    restore(alice, idle)
    send_sms_before(sandbox)

    later = check_restore(settings, clock.now() + timedelta(minutes=10), 20, SYSTEM)

    assert (later.sent, later.undecided) == ({"mailgun": 0}, {"telnyx": 1})


@pytest.mark.parametrize("fault", ["lookup_auth", "http_500"])
def test_telnyx_that_does_not_answer_is_reported_and_its_messages_are_held(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings, fault: str
) -> None:
    alice.automation(SMS)
    restore(alice, idle)
    send_sms_before(sandbox)
    sandbox.add_fault("telnyx", fault, times=0, match={"call": "look_up"})

    result = check(settings)
    sandbox.sandbox.store.faults.clear()

    assert (list(result.errors), result.undecided) == (["telnyx"], {"telnyx": 1})
    assert check(settings).sent == {"mailgun": 0, "telnyx": 1}


def test_telnyx_is_not_asked_while_an_execution_is_on_its_way(
    alice: Alice, idle: RunningWorker, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(SMS)
    (execution_id,) = restore(alice, idle)
    send_sms_before(sandbox)
    idle.pause()
    alice.trigger(contact=bob(external_id="0", phone="+15550120"))
    restores.pause_sends(SYSTEM)

    assert check(settings).undecided == {"telnyx": 1}
    assert messages(execution_id)[0]["look_up_log"] == []
