"""Operator actions: retry, cancel, discard and resolve, singly and in bulk, with consistent counters throughout."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from dramatiq import Worker

import metrics
from models.audit import SYSTEM
from models.errors import Conflict, NotFound
from models.execution_filters import ExecutionFilters
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import actions as operator_actions
from tasks.operators.actions import cancel_execution, process_pending, resolve_message, retry_execution
from tasks.operators.bulk import act_on_matching
from tasks.runtime import moves
from tasks.runtime.broker import read_queue_depths
from tasks.runtime.engine import Engine
from tests.support.concurrency import (
    assert_consistent,
    claim,
    claim_and_abandon,
    count_provider_calls,
    run_concurrently,
)
from tests.support.factories import (
    HELLO,
    WRITTEN,
    Alice,
    counters,
    execution,
    messages,
    stages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

SMS = [{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}]
SMS_THEN_TAG = [*SMS, {"id": "tag", "action": "update_contact", "with": {"add_tags": ["told"]}}]
WAIT_THEN_SEND = [{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *HELLO]
MISSING_ID = "0190b6a2-0000-7000-8000-000000000000"


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def fail_execution(alice: Alice, sandbox: RunningSandbox, **fields: Any) -> dict[str, Any]:
    """Return an execution that failed by a bad template."""
    alice.automation(
        [{"id": "hello", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.word }}"}}],
        trigger="bad.template",
    )
    return wait_until_finished(alice.trigger("bad.template", **fields))


def create_unknown_outcome(
    alice: Alice, sandbox: RunningSandbox, fault: str = "reset_after"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an execution with an unknown outcome, and its message."""
    alice.automation(SMS_THEN_TAG, trigger="cut.off")
    sandbox.add_fault(provider="telnyx", fault=fault, times=1)
    failed = wait_until_finished(alice.trigger("cut.off"))
    assert failed["error_class"] == "unknown_outcome"
    return failed, messages(failed["id"])[0]


def wait_until_status(execution_id: str, status: str) -> dict[str, Any]:
    return eventually(lambda: (e := execution(execution_id))["status"] == status and e)


# One at a time


def test_a_retry_continues_at_the_failed_step_and_is_counted_once(alice: Alice, sandbox: RunningSandbox) -> None:
    failed = fail_execution(alice, sandbox)
    execute('update triggers set payload = \'{"word": "hi"}\'')

    retry_execution(alice.workspace_id, failed["id"], SYSTEM)

    result = wait_until_status(failed["id"], "succeeded")
    assert (result["attempt"], result["error_class"]) == (2, None)
    assert steps(result["id"])["hello"]["attempts"] >= 1
    assert counters(alice.workspace_id, result["automation_id"]) == {
        "executions": 1, "succeeded": 1, "failed": 0, "skipped": 0, "cancelled": 0,
    }  # fmt: skip
    assert_consistent()


def test_of_operators_who_retry_concurrently_one_retries(alice: Alice, sandbox: RunningSandbox, idle: Worker) -> None:
    idle.resume()
    failed = fail_execution(alice, sandbox)
    idle.pause()

    def retry(_: int) -> str:
        try:
            retry_execution(alice.workspace_id, failed["id"], SYSTEM)
        except Conflict as conflict:
            return conflict.message
        return "retried"

    assert Counter(run_concurrently(8, retry)) == {"retried": 1, "A retry of this execution is already queued.": 7}
    assert len(fetch_rows("select 1 from audit where action = 'execution.retried'")) == 1
    assert read_queue_depths()[failed["queue"]]["ready"] == 1
    assert_consistent()

    idle.resume()
    eventually(lambda: (e := execution(failed["id"]))["status"] == "failed" and e["attempt"] == 2)
    assert_consistent()


def test_a_scheduled_retry_is_brought_forward_once(alice: Alice, sandbox: RunningSandbox, idle: Worker) -> None:
    idle.resume()
    alice.automation(WRITTEN)
    sandbox.add_fault(provider="gemini", fault="http_500", times=0)
    waiting = wait_for_status(alice.trigger())
    idle.pause()
    everything = ExecutionFilters()

    retry_execution(alice.workspace_id, waiting["id"], SYSTEM)

    with pytest.raises(Conflict, match="already queued"):
        retry_execution(alice.workspace_id, waiting["id"], SYSTEM)
    assert act_on_matching(alice.workspace_id, "retry", everything, SYSTEM, dry_run=True) == {"matched": 0}
    assert act_on_matching(alice.workspace_id, "retry", everything, SYSTEM, dry_run=False)["retried"] == 0


@pytest.mark.parametrize("status", ["succeeded", "skipped", "cancelled"])
def test_a_finished_execution_cannot_be_retried_or_cancelled(
    alice: Alice, sandbox: RunningSandbox, status: str
) -> None:
    rules = {"tags": {"all": ["nobody has this"]}} if status == "skipped" else None
    alice.automation(WAIT_THEN_SEND if status == "cancelled" else HELLO, rules=rules)
    accepted = alice.trigger()
    if status == "cancelled":
        cancel_execution(alice.workspace_id, wait_for_status(accepted)["id"], SYSTEM)
    result = wait_until_finished(accepted)
    assert result["status"] == status

    with pytest.raises(Conflict, match=status):
        retry_execution(alice.workspace_id, result["id"], SYSTEM)
    with pytest.raises(Conflict, match=status):
        cancel_execution(alice.workspace_id, result["id"], SYSTEM)
    assert execution(result["id"]) == result


@pytest.mark.parametrize("execution_id", [MISSING_ID, "no id at all"])
def test_a_missing_execution_is_not_found(alice: Alice, execution_id: str) -> None:
    for move in (retry_execution, cancel_execution):
        with pytest.raises(NotFound):
            move(alice.workspace_id, execution_id, SYSTEM)
    with pytest.raises(NotFound):
        resolve_message(alice.workspace_id, execution_id, "sent", SYSTEM)


def test_another_workspaces_execution_and_message_are_not_found(alice: Alice, sandbox: RunningSandbox) -> None:
    failed, message = create_unknown_outcome(alice, sandbox)
    charlie = Alice(name="charlie")

    for move in (retry_execution, cancel_execution):
        with pytest.raises(NotFound):
            move(charlie.workspace_id, failed["id"], SYSTEM)
    with pytest.raises(NotFound):
        resolve_message(charlie.workspace_id, message["id"], "discard", SYSTEM)
    assert act_on_matching(charlie.workspace_id, "discard", ExecutionFilters(), SYSTEM, dry_run=False)["matched"] == 0
    assert process_pending(charlie.workspace_id, SYSTEM) == 0
    assert execution(failed["id"]) == failed


def test_a_cancelled_wait_never_continues(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    automation_id = alice.automation(WAIT_THEN_SEND)
    waiting = wait_for_status(alice.trigger())

    cancel_execution(alice.workspace_id, waiting["id"], SYSTEM)
    execute("update executions set rung_at = '2000-01-01'")
    assert periodic_jobs.enqueue_due(settings) == {"woken": 0}

    result = execution(waiting["id"])
    assert (result["status"], result["stage"], result["skipped_rule"]) == ("cancelled", "skipped", "cancelled")
    assert stages(result["id"])[-1] == "skipped"
    assert counters(alice.workspace_id, automation_id)["cancelled"] == 1
    assert count_provider_calls(sandbox) == 0


def test_the_worker_of_a_cancelled_execution_can_record_nothing(alice: Alice, engine: Engine, idle: Worker) -> None:

    from tasks.runtime.claimed_execution import ClaimedExecution

    automation_id = alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    claimed_row = claim(engine.group_commit, execution_id)
    assert claimed_row is not None
    claimed = ClaimedExecution(claimed_row, engine.load_workflow(claimed_row["version_id"]))

    cancel_execution(alice.workspace_id, execution_id, SYSTEM)
    moves.enter(claimed, "eligible")
    moves.finish(claimed, "succeeded", "completed")

    assert engine.group_commit.record(claimed.take_record()) is False
    assert execution(execution_id)["status"] == "cancelled"
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 0
    assert_consistent()


def test_a_message_accepted_during_a_cancel_is_recorded_as_sent(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=1)
    execution_id = alice.trigger().executions[0]["executionId"]
    eventually(lambda: [message["status"] for message in messages(execution_id)] == ["sending"])

    cancel_execution(alice.workspace_id, execution_id, SYSTEM)

    assert messages(execution_id)[0]["status"] == "outcome_unknown"
    eventually(lambda: messages(execution_id)[0]["status"] == "sent")
    assert messages(execution_id)[0]["provider_message_id"]
    assert execution(execution_id)["status"] == "cancelled"
    assert_consistent()


# Unknown outcomes


def test_a_message_marked_as_sent_continues_with_the_next_step(alice: Alice, sandbox: RunningSandbox) -> None:
    failed, message = create_unknown_outcome(alice, sandbox)

    resolve_message(alice.workspace_id, message["id"], "sent", SYSTEM)

    result = wait_until_status(failed["id"], "succeeded")
    assert count_provider_calls(sandbox, "telnyx") == 1
    assert messages(result["id"])[0]["status"] == "sent"
    assert steps(result["id"])["tag"]["status"] == "succeeded"
    assert counters(alice.workspace_id, result["automation_id"])["failed"] == 0
    assert_consistent()


def test_a_resent_message_is_sent_once_more_with_the_same_key(alice: Alice, sandbox: RunningSandbox) -> None:
    failed, message = create_unknown_outcome(alice, sandbox, "reset_before")

    resolve_message(alice.workspace_id, message["id"], "resend", SYSTEM)

    result = wait_until_status(failed["id"], "succeeded")
    (resent,) = messages(result["id"])
    assert (resent["key"], resent["status"], resent["resends"]) == (message["key"], "sent", 1)
    assert count_provider_calls(sandbox, "telnyx") == 1
    assert_consistent()


def test_a_discarded_message_cancels_its_execution(alice: Alice, sandbox: RunningSandbox) -> None:
    failed, message = create_unknown_outcome(alice, sandbox)

    resolve_message(alice.workspace_id, message["id"], "discard", SYSTEM)

    result = execution(failed["id"])
    assert (result["status"], result["skipped_rule"]) == ("cancelled", "discarded")
    assert messages(result["id"])[0]["status"] == "discarded"
    assert counters(alice.workspace_id, result["automation_id"])["failed"] == 0
    assert_consistent()


def test_of_operators_who_resolve_concurrently_one_decides(alice: Alice, sandbox: RunningSandbox) -> None:
    failed, message = create_unknown_outcome(alice, sandbox, "reset_before")

    def resend(_: int) -> bool:
        try:
            resolve_message(alice.workspace_id, message["id"], "resend", SYSTEM)
        except Conflict:
            return False
        return True

    assert sum(run_concurrently(6, resend)) == 1
    wait_until_status(failed["id"], "succeeded")
    assert count_provider_calls(sandbox, "telnyx") == 1
    assert_consistent()


@pytest.mark.parametrize("as_", ["sent", "resend", "discard"])
def test_a_message_with_a_known_outcome_cannot_be_resolved(alice: Alice, sandbox: RunningSandbox, as_: Any) -> None:
    alice.automation(HELLO)
    (message,) = messages(wait_until_finished(alice.trigger())["id"])

    with pytest.raises(Conflict, match="sent"):
        resolve_message(alice.workspace_id, message["id"], as_, SYSTEM)


def test_an_unknown_outcome_is_resolved_and_cannot_be_retried(alice: Alice, sandbox: RunningSandbox) -> None:
    failed, _ = create_unknown_outcome(alice, sandbox)

    with pytest.raises(Conflict, match="may have been sent"):
        retry_execution(alice.workspace_id, failed["id"], SYSTEM)
    response = act_on_matching(alice.workspace_id, "retry", ExecutionFilters(), SYSTEM, dry_run=False)
    assert response["retried"] == 0


def test_a_message_of_a_cancelled_execution_cannot_be_resent(
    alice: Alice, sandbox: RunningSandbox, idle: Worker
) -> None:
    alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    idle.resume()
    wait_until_finished(execution_id)
    execute("update messages set status = 'outcome_unknown'")
    execute("update executions set status = 'cancelled', stage = 'skipped', skipped_rule = 'cancelled'")

    with pytest.raises(Conflict, match="cancelled"):
        resolve_message(alice.workspace_id, messages(execution_id)[0]["id"], "resend", SYSTEM)

    assert messages(execution_id)[0]["status"] == "outcome_unknown"


# In bulk


def test_a_dry_run_counts_and_changes_nothing(alice: Alice, sandbox: RunningSandbox) -> None:
    failed = fail_execution(alice, sandbox)
    filters = ExecutionFilters(status="failed")

    for action in ("retry", "discard"):
        assert act_on_matching(alice.workspace_id, action, filters, SYSTEM, dry_run=True) == {"matched": 1}  # type: ignore[arg-type]

    assert execution(failed["id"]) == failed
    assert fetch_rows("select 1 from operations") == []


def test_a_bulk_action_changes_what_matches_and_is_recorded(
    alice: Alice, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    idle.resume()
    automation_id = alice.automation(WRITTEN)
    sandbox.add_fault(provider="gemini", fault="http_500", times=0)
    contacts = [{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(30)]
    alice.triggers(contacts)
    eventually(lambda: fetch_value("select count(*) from executions where waiting_for = 'retry'") == 30)
    execute("update executions set status = 'failed', finished_at = beckon_now(), due_at = null, waiting_for = null "
            "where id in (select id from executions order by id limit 10)")  # fmt: skip
    execute("update automations set failed = 10, executions = 10 where id = %s", (automation_id,))
    assert_consistent()
    sandbox.clear()

    response = act_on_matching(
        alice.workspace_id, "retry", ExecutionFilters(automation_id=automation_id), SYSTEM, dry_run=False
    )

    assert (response["matched"], response["retried"]) == (30, 30)
    eventually(lambda: fetch_value("select count(*) from executions where status = 'succeeded'") == 30)
    assert count_provider_calls(sandbox) == 30
    (operation,) = fetch_rows("select * from operations")
    assert (operation["id"], operation["kind"], operation["done"]) == (response["operationId"], "retry", 30)
    assert_consistent()


def test_an_execution_that_changes_during_a_bulk_action_is_its_conflict(
    alice: Alice, sandbox: RunningSandbox, idle: Worker, database_urls: Any
) -> None:
    alice.automation(HELLO)
    contacts = [{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(2)]
    first, second = (accepted.executions[0]["executionId"] for accepted in alice.triggers(contacts))
    with closing(psycopg2.connect(database_urls.owner)) as worker, worker, worker.cursor() as cursor:
        cursor.execute(
            "update executions set status = 'skipped', stage = 'skipped', skipped_rule = 'tags', due_at = null, "
            "finished_at = now() where id = %s",
            (first,),
        )
        with ThreadPoolExecutor(1) as threads:
            future = threads.submit(
                act_on_matching, alice.workspace_id, "cancel", ExecutionFilters(), SYSTEM, dry_run=False
            )
            eventually(lambda: fetch_value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"))
            worker.commit()
            response = future.result(10)
    assert (response["matched"], response["cancelled"]) == (2, 1)
    (operation,) = fetch_rows("select * from operations")
    assert operation["conflicts"] == [{"executionId": first, "status": "skipped"}]
    assert execution(second)["status"] == "cancelled"


def test_a_bulk_discard_uncounts_failures_and_counts_cancellations(alice: Alice, sandbox: RunningSandbox) -> None:
    failed = fail_execution(alice, sandbox)

    response = act_on_matching(alice.workspace_id, "discard", ExecutionFilters(), SYSTEM, dry_run=False)

    assert response["discarded"] == 1
    counts = counters(alice.workspace_id, failed["automation_id"])
    assert (counts["executions"], counts["failed"], counts["cancelled"]) == (1, 0, 1)
    assert_consistent()


def test_a_bulk_cancel_ends_queued_running_and_waiting_executions(
    alice: Alice, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    alice.automation(HELLO)
    queued = alice.trigger().executions[0]["executionId"]
    running = alice.trigger().executions[0]["executionId"]
    claim_and_abandon(running)

    act_on_matching(alice.workspace_id, "cancel", ExecutionFilters(), SYSTEM, dry_run=False)
    idle.resume()
    periodic_jobs.rescue_expired_leases(settings)

    assert {execution(execution_id)["status"] for execution_id in (queued, running)} == {"cancelled"}
    idle.broker.join("sending", interval=20)
    assert count_provider_calls(sandbox) == 0
    assert_consistent()


def test_process_pending_notifies_for_every_due_execution(alice: Alice, sandbox: RunningSandbox, idle: Worker) -> None:
    alice.automation(HELLO)
    alice.triggers([{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(25)])
    idle.broker.flush_all()

    assert process_pending(alice.workspace_id, SYSTEM) == 25
    idle.resume()

    eventually(lambda: count_provider_calls(sandbox) == 25)
    assert process_pending(alice.workspace_id, SYSTEM) == 0


# Pauses


def test_a_paused_automation_waits_and_continues_when_it_is_resumed(alice: Alice, sandbox: RunningSandbox) -> None:
    automation_id = alice.automation(HELLO)
    operator_actions.set_pause("automation", automation_id, alice.workspace_id, SYSTEM)
    waiting = wait_for_status(alice.trigger())
    assert (waiting["waiting_for"], count_provider_calls(sandbox)) == ("pause", 0)

    assert operator_actions.resume("automation", automation_id, alice.workspace_id, SYSTEM) == 1

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"


@pytest.mark.parametrize(("kind", "name"), [("queue", "sending"), ("provider", "mailgun")])
def test_a_paused_queue_or_provider_affects_only_its_workspace(
    alice: Alice, sandbox: RunningSandbox, kind: str, name: str
) -> None:
    charlie = Alice(name="charlie")
    for each in (alice, charlie):
        each.automation(HELLO)
    operator_actions.set_pause(kind, name, alice.workspace_id, SYSTEM)

    waiting = wait_for_status(alice.trigger())

    assert waiting["waiting_for"] == "pause"
    assert wait_until_finished(charlie.trigger())["status"] == "succeeded"
    operator_actions.resume(kind, name, alice.workspace_id, SYSTEM)
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"


@pytest.mark.parametrize("paused_by", ["automation", "queue", "provider", "configuration"])
def test_a_pause_that_ends_while_its_wait_is_recorded_blocks_nothing(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, paused_by: str
) -> None:
    automation_id = alice.automation(HELLO)
    kind = "provider" if paused_by == "configuration" else paused_by
    operator_actions.set_pause(
        kind, {"automation": automation_id, "queue": "sending"}.get(kind, "mailgun"), alice.workspace_id, SYSTEM
    )
    if paused_by == "configuration":
        execute("update pauses set reason = 'configuration', retry_at = beckon_now() + interval '1 hour'")
    waiting = wait_for_status(alice.trigger())
    assert periodic_jobs.end_resolved_pauses(settings)["late"] == 0

    # The operator's update found no waiting execution yet.
    execute("update automations set paused_at = null")
    execute("delete from pauses")

    assert periodic_jobs.end_resolved_pauses(settings) == {"ended": 0, "late": 1}
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"


def test_an_event_during_a_pause_is_not_lost(alice: Alice, sandbox: RunningSandbox) -> None:
    automation_id = alice.automation(
        [{"id": "paid", "action": "wait_until", "with": {"event": "order.paid", "timeout": "2d"},
          "then": HELLO, "else": []}]
    )  # fmt: skip
    waiting = wait_for_status(alice.trigger())
    operator_actions.set_pause("automation", automation_id, alice.workspace_id, SYSTEM)
    alice.trigger("order.paid")
    eventually(lambda: execution(waiting["id"])["waiting_for"] == "pause")

    operator_actions.resume("automation", automation_id, alice.workspace_id, SYSTEM)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert steps(waiting["id"])["paid"]["output"]["taken"] == "then"
    assert count_provider_calls(sandbox) == 1


def test_actions_are_counted_as_done_or_refused(alice: Alice, sandbox: RunningSandbox) -> None:
    def read() -> tuple[float, float]:
        series = [
            metrics.operator_actions_total.labels(action="retry", result=result) for result in ("done", "refused")
        ]
        return series[0]._value.get(), series[1]._value.get()

    failed = fail_execution(alice, sandbox)
    done, refused = read()
    retry_execution(alice.workspace_id, failed["id"], SYSTEM)
    with pytest.raises(NotFound):
        retry_execution(alice.workspace_id, MISSING_ID, SYSTEM)
    assert read() == (done + 1, refused + 1)
