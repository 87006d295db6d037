"""What operators do: retry, cancel, discard, resolve, in ones and in bulk, with the books balanced all the way."""

from __future__ import annotations

from typing import Any

import pytest
from crew import at_once, books_balance, dies_with, provider_calls
from dramatiq import Worker

from cast import HELLO, WRITTEN, Alice, at_rest, counters, execution, finished, messages, stages, steps
from models.audit import SYSTEM
from models.database import changed, rows, value
from models.refusals import Conflict, NotThere
from models.reports.filters import ExecutionFilters
from sandbox.server import Running
from settings import Settings
from tasks import operators, sweeps
from tasks.engine import Engine
from tasks.operators import act_on_matching, cancel_execution, process_pending, resolve_message, retry_execution
from waiting import eventually

SMS = [{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}]
SMS_THEN_TAG = [*SMS, {"id": "tag", "action": "update_contact", "with": {"add_tags": ["told"]}}]
RESTED = [{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *HELLO]
NOWHERE = "0190b6a2-0000-7000-8000-000000000000"


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def failing(alice: Alice, sandbox: Running, **fields: Any) -> dict[str, Any]:
    """An execution that a bad template failed."""
    alice.automation(
        [{"id": "hello", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.word }}"}}],
        trigger="bad.template",
    )
    return finished(alice.trigger("bad.template", **fields))


def unknown(alice: Alice, sandbox: Running, fault: str = "reset_after") -> tuple[dict[str, Any], dict[str, Any]]:
    """An execution that is held, and its message."""
    alice.automation(SMS_THEN_TAG, trigger="cut.off")
    sandbox.fault(provider="telnyx", fault=fault, times=1)
    held = finished(alice.trigger("cut.off"))
    assert held["error_class"] == "unknown_outcome"
    return held, messages(held["id"])[0]


def ended(execution_id: str, status: str) -> dict[str, Any]:
    return eventually(lambda: (e := execution(execution_id))["status"] == status and e)


# One at a time


def test_a_retry_goes_on_at_the_failed_step_and_is_counted_once(alice: Alice, sandbox: Running) -> None:
    failed = failing(alice, sandbox)
    changed('update triggers set payload = \'{"word": "hi"}\'')

    retry_execution(alice.workspace_id, failed["id"], SYSTEM)

    found = ended(failed["id"], "succeeded")
    assert (found["attempt"], found["error_class"]) == (2, None)
    assert steps(found["id"])["hello"]["attempts"] >= 1
    assert counters(alice.workspace_id, found["automation_id"]) == {
        "executions": 1, "succeeded": 1, "failed": 0, "skipped": 0, "cancelled": 0,
    }  # fmt: skip
    books_balance()


def test_twenty_retries_at_once_retry_once(alice: Alice, sandbox: Running, idle: Worker) -> None:
    idle.resume()
    failed = failing(alice, sandbox)
    idle.pause()

    def retry(_: int) -> bool:
        try:
            retry_execution(alice.workspace_id, failed["id"], SYSTEM)
        except Conflict:
            return False
        return True

    at_once(8, retry)
    books_balance()
    idle.resume()

    eventually(lambda: (e := execution(failed["id"]))["status"] == "failed" and e["attempt"] >= 2)
    books_balance()


@pytest.mark.parametrize("status", ["succeeded", "skipped", "cancelled"])
def test_what_is_over_cannot_be_retried_or_cancelled(alice: Alice, sandbox: Running, status: str) -> None:
    rules = {"tags": {"all": ["nobody has this"]}} if status == "skipped" else None
    alice.automation(RESTED if status == "cancelled" else HELLO, rules=rules)
    accepted = alice.trigger()
    if status == "cancelled":
        cancel_execution(alice.workspace_id, at_rest(accepted)["id"], SYSTEM)
    found = finished(accepted)
    assert found["status"] == status

    with pytest.raises(Conflict, match=status):
        retry_execution(alice.workspace_id, found["id"], SYSTEM)
    with pytest.raises(Conflict, match=status):
        cancel_execution(alice.workspace_id, found["id"], SYSTEM)
    assert execution(found["id"]) == found


@pytest.mark.parametrize("execution_id", [NOWHERE, "no id at all"])
def test_what_is_not_there_is_not_there(alice: Alice, execution_id: str) -> None:
    for move in (retry_execution, cancel_execution):
        with pytest.raises(NotThere):
            move(alice.workspace_id, execution_id, SYSTEM)
    with pytest.raises(NotThere):
        resolve_message(alice.workspace_id, execution_id, "sent", SYSTEM)


def test_another_workspaces_execution_and_message_are_not_there(alice: Alice, sandbox: Running) -> None:
    held, message = unknown(alice, sandbox)
    charlie = Alice(name="charlie")

    for move in (retry_execution, cancel_execution):
        with pytest.raises(NotThere):
            move(charlie.workspace_id, held["id"], SYSTEM)
    with pytest.raises(NotThere):
        resolve_message(charlie.workspace_id, message["id"], "discard", SYSTEM)
    assert act_on_matching(charlie.workspace_id, "discard", ExecutionFilters(), SYSTEM, dry_run=False)["matched"] == 0
    assert process_pending(charlie.workspace_id) == 0
    assert execution(held["id"]) == held


def test_a_wait_can_be_cancelled_and_never_goes_on(alice: Alice, sandbox: Running, settings: Settings) -> None:
    automation_id = alice.automation(RESTED)
    waiting = at_rest(alice.trigger())

    cancel_execution(alice.workspace_id, waiting["id"], SYSTEM)
    changed("update executions set rung_at = '2000-01-01'")
    assert sweeps.wake_due(settings) == {"woken": 0}

    found = execution(waiting["id"])
    assert (found["status"], found["stage"], found["skipped_rule"]) == ("cancelled", "skipped", "cancelled")
    assert stages(found["id"])[-1] == "skipped"
    assert counters(alice.workspace_id, automation_id)["cancelled"] == 1
    assert provider_calls(sandbox) == 0


def test_a_cancelled_executions_worker_can_write_no_more(alice: Alice, engine: Engine, idle: Worker) -> None:
    import time

    from tasks.passage import Passage

    automation_id = alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    claimed = engine.ledger.claim(execution_id)
    assert claimed is not None
    passage = Passage(claimed, engine.workflow(claimed["version_id"]), time.monotonic())

    cancel_execution(alice.workspace_id, execution_id, SYSTEM)
    passage.enter("eligible")
    passage.finish("succeeded", "completed")

    assert engine.ledger.record(passage.progress()) is False
    assert execution(execution_id)["status"] == "cancelled"
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 0
    books_balance()


def test_a_message_in_flight_at_a_cancel_is_on_record_as_sent_when_the_provider_took_it(
    alice: Alice, sandbox: Running
) -> None:
    alice.automation(HELLO)
    sandbox.fault(provider="mailgun", fault="slow", times=1, seconds=1)
    execution_id = alice.trigger().executions[0]["executionId"]
    eventually(lambda: [one["status"] for one in messages(execution_id)] == ["sending"])

    cancel_execution(alice.workspace_id, execution_id, SYSTEM)

    assert messages(execution_id)[0]["status"] == "outcome_unknown"
    eventually(lambda: messages(execution_id)[0]["status"] == "sent")
    assert messages(execution_id)[0]["provider_message_id"]
    assert execution(execution_id)["status"] == "cancelled"
    books_balance()


# Unknown outcomes


def test_marked_as_sent_it_goes_on_with_the_next_step(alice: Alice, sandbox: Running) -> None:
    held, message = unknown(alice, sandbox)

    resolve_message(alice.workspace_id, message["id"], "sent", SYSTEM)

    found = ended(held["id"], "succeeded")
    assert provider_calls(sandbox, "telnyx") == 1
    assert messages(found["id"])[0]["status"] == "sent"
    assert steps(found["id"])["tag"]["status"] == "succeeded"
    assert counters(alice.workspace_id, found["automation_id"])["failed"] == 0
    books_balance()


def test_resent_it_is_sent_once_more_under_the_same_key(alice: Alice, sandbox: Running) -> None:
    held, message = unknown(alice, sandbox, "reset_before")

    resolve_message(alice.workspace_id, message["id"], "resend", SYSTEM)

    found = ended(held["id"], "succeeded")
    (resent,) = messages(found["id"])
    assert (resent["key"], resent["status"], resent["resends"]) == (message["key"], "sent", 1)
    assert provider_calls(sandbox, "telnyx") == 1
    books_balance()


def test_discarded_it_is_put_away(alice: Alice, sandbox: Running) -> None:
    held, message = unknown(alice, sandbox)

    resolve_message(alice.workspace_id, message["id"], "discard", SYSTEM)

    found = execution(held["id"])
    assert (found["status"], found["skipped_rule"]) == ("cancelled", "discarded")
    assert messages(found["id"])[0]["status"] == "discarded"
    assert counters(alice.workspace_id, found["automation_id"])["failed"] == 0
    books_balance()


def test_of_operators_who_resolve_at_once_one_decides(alice: Alice, sandbox: Running) -> None:
    held, message = unknown(alice, sandbox, "reset_before")

    def resend(_: int) -> bool:
        try:
            resolve_message(alice.workspace_id, message["id"], "resend", SYSTEM)
        except Conflict:
            return False
        return True

    assert sum(at_once(6, resend)) == 1
    ended(held["id"], "succeeded")
    assert provider_calls(sandbox, "telnyx") == 1
    books_balance()


@pytest.mark.parametrize("as_", ["sent", "resend", "discard"])
def test_what_is_known_needs_no_decision(alice: Alice, sandbox: Running, as_: Any) -> None:
    alice.automation(HELLO)
    (message,) = messages(finished(alice.trigger())["id"])

    with pytest.raises(Conflict, match="sent"):
        resolve_message(alice.workspace_id, message["id"], as_, SYSTEM)


def test_what_is_held_is_resolved_and_not_retried(alice: Alice, sandbox: Running) -> None:
    held, _ = unknown(alice, sandbox)

    with pytest.raises(Conflict, match="may have been sent"):
        retry_execution(alice.workspace_id, held["id"], SYSTEM)
    answer = act_on_matching(alice.workspace_id, "retry", ExecutionFilters(), SYSTEM, dry_run=False)
    assert answer["retried"] == 0


def test_a_message_of_a_cancelled_execution_cannot_be_resent(alice: Alice, sandbox: Running, idle: Worker) -> None:
    alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    idle.resume()
    finished(execution_id)
    changed("update messages set status = 'outcome_unknown'")
    changed("update executions set status = 'cancelled', stage = 'skipped', skipped_rule = 'cancelled'")

    with pytest.raises(Conflict, match="cancelled"):
        resolve_message(alice.workspace_id, messages(execution_id)[0]["id"], "resend", SYSTEM)

    assert messages(execution_id)[0]["status"] == "outcome_unknown"


# In bulk


def test_a_dry_run_counts_and_changes_nothing(alice: Alice, sandbox: Running) -> None:
    failed = failing(alice, sandbox)
    filters = ExecutionFilters(status="failed")

    for action in ("retry", "discard"):
        assert act_on_matching(alice.workspace_id, action, filters, SYSTEM, dry_run=True) == {"matched": 1}  # type: ignore[arg-type]

    assert execution(failed["id"]) == failed
    assert rows("select 1 from operations") == []


def test_a_bulk_action_moves_what_matches_and_is_on_record(
    alice: Alice, sandbox: Running, idle: Worker, settings: Settings
) -> None:
    idle.resume()
    automation_id = alice.automation(WRITTEN)
    sandbox.fault(provider="gemini", fault="http_500", times=0)
    contacts = [{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(30)]
    alice.triggers(contacts)
    eventually(lambda: value("select count(*) from executions where waiting_for = 'retry'") == 30)
    changed("update executions set status = 'failed', finished_at = beckon_now(), due_at = null, waiting_for = null "
            "where id in (select id from executions order by id limit 10)")  # fmt: skip
    changed("update automations set failed = 10, executions = 10 where id = %s", (automation_id,))
    books_balance()
    sandbox.clear()

    answer = act_on_matching(
        alice.workspace_id, "retry", ExecutionFilters(automation_id=automation_id), SYSTEM, dry_run=False
    )

    assert (answer["matched"], answer["retried"]) == (30, 30)
    eventually(lambda: value("select count(*) from executions where status = 'succeeded'") == 30)
    assert provider_calls(sandbox) == 30
    (operation,) = rows("select * from operations")
    assert (operation["id"], operation["kind"], operation["done"]) == (answer["operationId"], "retry", 30)
    books_balance()


def test_a_bulk_discard_uncounts_failures_and_counts_cancellations(alice: Alice, sandbox: Running) -> None:
    failed = failing(alice, sandbox)

    answer = act_on_matching(alice.workspace_id, "discard", ExecutionFilters(), SYSTEM, dry_run=False)

    assert answer["discarded"] == 1
    found = counters(alice.workspace_id, failed["automation_id"])
    assert (found["executions"], found["failed"], found["cancelled"]) == (1, 0, 1)
    books_balance()


def test_a_bulk_cancel_reaches_what_is_queued_runs_and_waits(
    alice: Alice, sandbox: Running, idle: Worker, settings: Settings
) -> None:
    alice.automation(HELLO)
    queued = alice.trigger().executions[0]["executionId"]
    running = alice.trigger().executions[0]["executionId"]
    dies_with(running)

    act_on_matching(alice.workspace_id, "cancel", ExecutionFilters(), SYSTEM, dry_run=False)
    idle.resume()
    sweeps.rescue_leases(settings)

    assert {execution(one)["status"] for one in (queued, running)} == {"cancelled"}
    idle.broker.join("sending", interval=20)
    assert provider_calls(sandbox) == 0
    books_balance()


def test_process_pending_rings_for_all_that_is_due(alice: Alice, sandbox: Running, idle: Worker) -> None:
    alice.automation(HELLO)
    alice.triggers([{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(25)])
    idle.broker.flush_all()

    assert process_pending(alice.workspace_id) == 25
    idle.resume()

    eventually(lambda: provider_calls(sandbox) == 25)
    assert process_pending(alice.workspace_id) == 0


# Pauses


def test_a_paused_automation_holds_and_goes_on_when_it_is_let_go(alice: Alice, sandbox: Running) -> None:
    automation_id = alice.automation(HELLO)
    operators.hold("automation", automation_id, alice.workspace_id, SYSTEM)
    waiting = at_rest(alice.trigger())
    assert (waiting["waiting_for"], provider_calls(sandbox)) == ("pause", 0)

    assert operators.let_go("automation", automation_id, alice.workspace_id, SYSTEM) == 1

    assert finished(waiting["id"])["status"] == "succeeded"


@pytest.mark.parametrize(("kind", "name"), [("queue", "sending"), ("provider", "mailgun")])
def test_a_paused_queue_or_provider_holds_its_workspace_alone(
    alice: Alice, sandbox: Running, kind: str, name: str
) -> None:
    charlie = Alice(name="charlie")
    for each in (alice, charlie):
        each.automation(HELLO)
    operators.hold(kind, name, alice.workspace_id, SYSTEM)

    waiting = at_rest(alice.trigger())

    assert waiting["waiting_for"] == "pause"
    assert finished(charlie.trigger())["status"] == "succeeded"
    operators.let_go(kind, name, alice.workspace_id, SYSTEM)
    assert finished(waiting["id"])["status"] == "succeeded"


@pytest.mark.parametrize("held_by", ["automation", "queue", "provider", "configuration"])
def test_a_pause_that_ended_while_its_wait_was_being_recorded_holds_nobody_for_good(
    alice: Alice, sandbox: Running, settings: Settings, held_by: str
) -> None:
    automation_id = alice.automation(HELLO)
    kind = "provider" if held_by == "configuration" else held_by
    operators.hold(
        kind, {"automation": automation_id, "queue": "sending"}.get(kind, "mailgun"), alice.workspace_id, SYSTEM
    )
    if held_by == "configuration":
        changed("update pauses set reason = 'configuration', retry_at = beckon_now() + interval '1 hour'")
    waiting = at_rest(alice.trigger())
    assert sweeps.end_mended_pauses(settings)["late"] == 0

    # The operator's update found nobody waiting yet.
    changed("update automations set paused_at = null")
    changed("delete from pauses")

    assert sweeps.end_mended_pauses(settings) == {"ended": 0, "late": 1}
    assert finished(waiting["id"])["status"] == "succeeded"


def test_an_event_that_comes_during_a_pause_is_not_forgotten(alice: Alice, sandbox: Running) -> None:
    automation_id = alice.automation(
        [{"id": "paid", "action": "wait_until", "with": {"event": "order.paid", "timeout": "2d"},
          "then": HELLO, "else": []}]
    )  # fmt: skip
    waiting = at_rest(alice.trigger())
    operators.hold("automation", automation_id, alice.workspace_id, SYSTEM)
    alice.trigger("order.paid")
    eventually(lambda: execution(waiting["id"])["waiting_for"] == "pause")

    operators.let_go("automation", automation_id, alice.workspace_id, SYSTEM)

    assert finished(waiting["id"])["status"] == "succeeded"
    assert steps(waiting["id"])["paid"]["output"]["taken"] == "then"
    assert provider_calls(sandbox) == 1
