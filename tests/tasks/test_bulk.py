"""Bulk actions in batches: exact, each execution once, whoever continues them; and retries on the current version."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq import Worker

import metrics
from models import automation, operation
from models.audit import SYSTEM
from models.errors import Conflict
from models.execution_filters import ExecutionFilters
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import bulk
from tasks.operators.actions import look_up_message, retry_execution
from tasks.operators.bulk import act_on_matching
from tasks.operators.operation_runner import run_operation
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, count_provider_calls, run_concurrently
from tests.support.factories import HELLO, Alice, execution, messages, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

SMS = [{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}]
BAD = {"id": "hello", "action": "send_email", "with": {"subject": "x", "body": "{{ payload.word }}"}}
FAILED = ExecutionFilters(status="failed")


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations of more than two executions are moved by a worker, two at a time."""
    monkeypatch.setattr(bulk, "BATCH_SIZE", 2)


def fail_many(alice: Alice, number: int) -> list[str]:
    """Fail so many executions by a bad template; return their ids in order."""
    alice.automation([BAD], trigger="bad.template")
    contacts = [{"external_id": f"c-{n}", "email": f"c{n}@example.com"} for n in range(number)]
    alice.triggers([{"type": "bad.template", "contact": contact} for contact in contacts])
    eventually(lambda: fetch_value("select count(*) from executions where status = 'failed'") == number)
    return [row["id"] for row in fetch_rows("select id from executions order by id")]


def start(alice: Alice, action: Any = "discard", filters: ExecutionFilters = FAILED, **options: Any) -> dict[str, Any]:
    return act_on_matching(alice.workspace_id, action, filters, SYSTEM, dry_run=False, **options)


def read(alice: Alice, operation_id: str) -> Any:
    return operation.get(alice.workspace_id, operation_id)


def test_a_large_operation_is_finished_by_a_worker(alice: Alice, small_batches: None, idle: Worker) -> None:
    idle.resume()
    fail_many(alice, 5)
    idle.pause()

    response = start(alice)
    assert (response["matched"], response["discarded"], response["status"]) == (5, 0, "running")

    idle.resume()
    row = eventually(lambda: (r := read(alice, response["operationId"]))["status"] == "finished" and r)
    assert (row["matched"], row["done"], row["conflicts"], row["conflict_count"]) == (5, 5, [], 0)
    assert fetch_value("select count(*) from executions where skipped_rule = 'discarded'") == 5
    assert fetch_rows("select 1 from operation_executions") == []
    assert_consistent()


def test_the_audit_log_has_one_row_with_the_filters_and_the_final_counts(
    alice: Alice, small_batches: None, idle: Worker
) -> None:
    idle.resume()
    fail_many(alice, 3)
    operation_id = start(alice)["operationId"]
    eventually(lambda: read(alice, operation_id)["status"] == "finished")

    (entry,) = fetch_rows("select * from audit where object_id = %s", (operation_id,))
    assert (entry["action"], entry["actor_name"]) == ("executions.discard", SYSTEM.name)
    assert entry["detail"] == {"filters": {"status": "failed"}, "matched": 3, "done": 3}


def test_a_retry_counts_each_execution_once_in_the_metric(alice: Alice, idle: Worker) -> None:
    idle.resume()
    fail_many(alice, 3)
    series = metrics.retries_total.labels(kind="manual", reason="operator")
    before = series._value.get()
    assert start(alice, "retry")["retried"] == 3
    assert series._value.get() == before + 3


def test_an_operation_whose_message_is_lost_is_continued_where_it_was(
    alice: Alice, small_batches: None, idle: Worker, settings: Settings
) -> None:
    idle.resume()
    fail_many(alice, 5)
    idle.pause()
    operation_id = start(alice)["operationId"]
    idle.broker.flush_all()
    assert bulk.run_next_batch(alice.workspace_id, operation_id) is True
    assert read(alice, operation_id)["done"] == 2

    assert periodic_jobs.continue_operations(settings) == {"continued": 0}
    execute("update operations set progressed_at = progressed_at - interval '1 hour'")
    assert periodic_jobs.continue_operations(settings) == {"continued": 1}
    assert periodic_jobs.continue_operations(settings) == {"continued": 0}
    idle.resume()

    row = eventually(lambda: (r := read(alice, operation_id))["status"] == "finished" and r)
    assert (row["done"], row["conflict_count"]) == (5, 0)
    assert periodic_jobs.continue_operations(settings) == {"continued": 0}


def test_concurrent_processes_move_each_execution_once(alice: Alice, small_batches: None, idle: Worker) -> None:
    idle.resume()
    ids = fail_many(alice, 7)
    idle.pause()
    operation_id = start(alice, "retry")["operationId"]
    idle.broker.flush_all()

    run_concurrently(4, lambda _: run_operation.fn(operation_id))
    run_operation.fn(operation_id)

    row = read(alice, operation_id)
    assert (row["status"], row["done"], row["conflict_count"]) == ("finished", 7, 0)
    assert [execution(one_id)["waiting_for"] for one_id in ids] == ["retry"] * 7
    assert_consistent()


def test_concurrent_operators_divide_the_executions_and_see_conflicts(
    alice: Alice, small_batches: None, idle: Worker
) -> None:
    idle.resume()
    fail_many(alice, 6)
    idle.pause()
    first, second = (start(alice, action)["operationId"] for action in ("discard", "retry"))
    idle.broker.flush_all()

    run_concurrently(2, lambda n: run_operation.fn((first, second)[n]))

    rows = [read(alice, operation_id) for operation_id in (first, second)]
    assert [row["matched"] for row in rows] == [6, 6]
    assert sum(row["done"] for row in rows) == 6
    assert all(row["done"] + row["conflict_count"] == 6 for row in rows)
    assert {conflict["status"] for conflict in rows[1]["conflicts"]} <= {"cancelled"}
    assert_consistent()


def test_what_fails_after_the_start_is_not_included(alice: Alice, small_batches: None, idle: Worker) -> None:
    idle.resume()
    fail_many(alice, 3)
    idle.pause()
    operation_id = start(alice)["operationId"]
    idle.broker.flush_all()
    idle.resume()
    late = wait_until_finished(alice.trigger("bad.template"))

    run_operation.fn(operation_id)

    assert read(alice, operation_id)["done"] == 3
    assert execution(late["id"])["status"] == "failed"


def test_an_execution_that_waits_for_credentials_is_discarded_with_its_group(
    alice: Alice, sandbox: RunningSandbox
) -> None:
    bare = Alice(demo=False)
    bare.automation(HELLO)
    waiting = wait_for_status(bare.trigger())
    assert (waiting["waiting_for"], waiting["provider"]) == ("configuration", "mailgun")
    group = ExecutionFilters(failure="any", error_class="configuration", provider="mailgun")

    assert act_on_matching(bare.workspace_id, "discard", group, SYSTEM, dry_run=True) == {"matched": 1}
    assert start(bare, "discard", group)["discarded"] == 1

    assert execution(waiting["id"])["skipped_rule"] == "discarded"
    assert fetch_value("select failed from automations where workspace_id = %s", (bare.workspace_id,)) == 0
    assert_consistent()


def test_a_retry_calls_a_provider_once_more_that_refused_its_credentials(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="auth", times=1)
    waiting = wait_for_status(alice.trigger())
    assert waiting["waiting_for"] == "configuration"

    assert start(alice, "retry", ExecutionFilters(waiting_for="configuration"))["retried"] == 1

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"


# Unknown outcomes


def fail_unknown(alice: Alice, number: int, steps: Any = SMS, provider: str = "telnyx") -> list[str]:
    """Fail so many executions with an unknown outcome; return their ids in order."""
    alice.automation(steps, trigger="cut.off")
    contacts = [{"external_id": f"c-{n}", "email": f"c{n}@example.com", "phone": f"+1555019{n}"} for n in range(number)]
    alice.triggers([{"type": "cut.off", "contact": contact} for contact in contacts])
    eventually(lambda: fetch_value("select count(*) from executions where status = 'failed'") == number)
    assert fetch_value("select count(*) from messages where status = 'outcome_unknown'") == number
    return [row["id"] for row in fetch_rows("select id from executions order by id")]


def test_messages_are_marked_as_sent_in_bulk(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="telnyx", fault="reset_after", times=0)
    ids = fail_unknown(alice, 3)
    sandbox.clear()
    assert act_on_matching(alice.workspace_id, "sent", ExecutionFilters(), SYSTEM, dry_run=True) == {"matched": 3}

    assert start(alice, "sent", ExecutionFilters())["resolved"] == 3

    assert [wait_until_finished(one_id)["status"] for one_id in ids] == ["succeeded"] * 3
    assert count_provider_calls(sandbox, "telnyx") == 0
    assert_consistent()


def test_messages_are_sent_again_in_bulk_once_each(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="telnyx", fault="reset_before", times=0)
    ids = fail_unknown(alice, 3)
    sandbox.clear()

    assert start(alice, "resend", ExecutionFilters(ids=ids[:2]))["resolved"] == 2

    assert [eventually(lambda i=i: execution(i)["status"] == "succeeded") for i in ids[:2]] == [True, True]
    assert execution(ids[2])["error_class"] == "unknown_outcome"
    assert count_provider_calls(sandbox, "telnyx") == 2


def test_a_requested_look_up_finds_a_message_and_is_kept(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    (execution_id,) = fail_unknown(alice, 1, HELLO)

    assert start(alice, "look_up", ExecutionFilters())["requested"] == 1

    eventually(lambda: execution(execution_id)["status"] == "succeeded")
    (message,) = messages(execution_id)
    assert [(entry["asked"], entry["found"]) for entry in message["look_up_log"]] == [("c0@example.com", True)]


def test_a_requested_look_up_that_finds_nothing_leaves_the_schedule_as_it_is(
    alice: Alice, sandbox: RunningSandbox
) -> None:
    sandbox.add_fault(provider="mailgun", fault="reset_before", times=1)
    (execution_id,) = fail_unknown(alice, 1, [{**HELLO[0], "on_unknown": "resend"}])
    (before,) = messages(execution_id)

    for number in range(1, 6):
        look_up_message(alice.workspace_id, before["id"], SYSTEM)
        eventually(lambda n=number: len(messages(execution_id)[0]["look_up_log"]) == n)

    (after,) = messages(execution_id)
    assert (after["look_ups"], after["look_up_at"], after["resends"]) == (0, before["look_up_at"], 0)
    assert (after["look_up_requested_at"], after["status"]) == (None, "outcome_unknown")
    assert {entry["found"] for entry in after["look_up_log"]} == {False}


def test_a_provider_that_cannot_be_asked_is_a_conflict(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="slack", fault="reset_after", times=1)
    notice = {"id": "tell", "action": "notify", "with": {"channel": "slack", "text": "Hi"}}
    (execution_id,) = fail_unknown(alice, 1, [notice])

    row = read(alice, start(alice, "look_up", ExecutionFilters())["operationId"])

    assert (row["done"], row["conflict_count"]) == (0, 1)
    assert "cannot be asked" in row["conflicts"][0]["reason"]
    with pytest.raises(Conflict, match="cannot be asked"):
        look_up_message(alice.workspace_id, messages(execution_id)[0]["id"], SYSTEM)


def test_a_lost_look_up_request_is_enqueued_again(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, idle: Worker
) -> None:
    idle.resume()
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    (execution_id,) = fail_unknown(alice, 1, HELLO)
    idle.pause()
    look_up_message(alice.workspace_id, messages(execution_id)[0]["id"], SYSTEM)
    idle.broker.flush_all()

    assert periodic_jobs.reconcile_unknown_outcomes(settings) == {"asked": 1}
    idle.resume()

    eventually(lambda: execution(execution_id)["status"] == "succeeded")


# The current version


def publish(alice: Alice, execution_id: str, steps: list[dict[str, Any]]) -> None:
    row = execution(execution_id)
    definition = {"trigger": {"type": "bad.template"}, "steps": steps}
    automation.publish(alice.workspace_id, row["automation_id"], definition, SYSTEM)


AFTER = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["later"]}}


def test_a_retry_on_the_current_version_does_its_later_steps(alice: Alice) -> None:
    (execution_id,) = fail_many(alice, 1)
    publish(alice, execution_id, [BAD, AFTER])
    execute('update triggers set payload = \'{"word": "hi"}\'')

    retry_execution(alice.workspace_id, execution_id, SYSTEM, "current")

    result = eventually(lambda: (e := execution(execution_id))["status"] == "succeeded" and e)
    assert result["version"] == 2
    assert fetch_row("select tags from contacts where id = %s", (result["contact_id"],)) == {"tags": ["later"]}


def test_a_retry_on_the_original_version_stays_on_it(alice: Alice) -> None:
    (execution_id,) = fail_many(alice, 1)
    publish(alice, execution_id, [BAD, AFTER])
    execute('update triggers set payload = \'{"word": "hi"}\'')

    retry_execution(alice.workspace_id, execution_id, SYSTEM)

    result = eventually(lambda: (e := execution(execution_id))["status"] == "succeeded" and e)
    assert result["version"] == 1


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([{**BAD, "with": {"subject": "x", "body": "fixed"}}], "“hello” is different"),
        ([AFTER], "no step “hello”"),
        ([AFTER, BAD], "another step before “hello”"),
    ],
)
def test_a_version_that_changed_the_failed_step_is_refused(alice: Alice, steps: Any, reason: str) -> None:
    (execution_id,) = fail_many(alice, 1)
    publish(alice, execution_id, steps)
    before = execution(execution_id)

    with pytest.raises(Conflict, match=reason):
        retry_execution(alice.workspace_id, execution_id, SYSTEM, "current")
    preview = act_on_matching(alice.workspace_id, "retry", FAILED, SYSTEM, dry_run=True, version="current")
    row = read(alice, start(alice, "retry", version="current")["operationId"])

    assert preview == {"matched": 1, "conflicts": 1}
    assert (row["done"], row["conflict_count"]) == (0, 1)
    assert reason in row["conflicts"][0]["reason"]
    assert execution(execution_id) == before
