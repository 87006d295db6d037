"""Claims: one worker at a time holds an execution, at most for its own lifetime, and nothing is done twice."""

from __future__ import annotations

import queue
import time
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from dramatiq import Worker

from models.database import connection
from models.engine.group_commit import CommitFuture, GroupCommit, extend_leases
from models.engine.records import ExecutionRecord, Suppress
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.eligibility import check
from tasks.runtime import message_rows, moves, step_rows
from tasks.runtime.broker import notify
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.steps.composing import prepare
from tests.support.concurrency import (
    assert_consistent,
    claim,
    claim_and_abandon,
    count_provider_calls,
    expire_lease,
    hold_lease,
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
    wait_until_finished,
)
from tests.support.waiting import eventually

TAGGED = [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}, *HELLO]


@pytest.fixture
def group_commit() -> Any:
    instance = GroupCommit("another worker", lease_seconds=30.0)
    yield instance
    instance.close()


def start_executions(alice: Alice, count: int = 1, **fields: Any) -> list[str]:
    """Start executions of `count` different contacts; return their ids."""
    contacts = [{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}, **fields} for n in range(count)]
    return [accepted.executions[0]["executionId"] for accepted in alice.triggers(contacts)]


def build_claimed(engine: Engine, row: Any) -> ClaimedExecution:
    return ClaimedExecution(row, engine.load_workflow(row["version_id"]))


def claim_batch(engine: Engine, group_commit: GroupCommit, count: int = 3) -> list[ClaimedExecution]:
    alice = Alice()
    alice.automation(HELLO)
    return [build_claimed(engine, row) for row in group_commit.claim_many(start_executions(alice, count))]


def test_of_two_concurrent_claims_one_wins(idle: Worker, group_commit: GroupCommit) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    others = [GroupCommit(f"worker {n}", 30.0) for n in range(8)]

    won = [row for row in run_concurrently(8, lambda n: claim(others[n], execution_id)) if row]

    assert len(won) == 1
    assert (execution(execution_id)["fence"], execution(execution_id)["deliveries"]) == (1, 1)
    for other in others:
        other.close()


def test_a_claim_s_stage_follows_a_stage_measured_ahead_of_postgresql_s_clock(
    engine: Engine, idle: Worker, group_commit: GroupCommit
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    with connection():
        execute("update executions set stage_since = beckon_now() + interval '1 minute' where id = %s", (execution_id,))
    row = claim(group_commit, execution_id)
    assert row is not None
    claimed = build_claimed(engine, row)
    before, checking = claimed.row["created_at"], claimed.state["stage_since"]

    moves.enter(claimed, "eligible")

    assert checking > before
    assert claimed.state["stage_since"] > checking
    assert (checking - before).total_seconds() >= 60


def test_one_group_commit_gives_an_execution_to_one_thread(idle: Worker, group_commit: GroupCommit) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)

    won = [row for row in run_concurrently(16, lambda _: claim(group_commit, execution_id)) if row]

    assert len(won) == 1


def record_in_one_batch(
    group_commit: GroupCommit, records: list[ExecutionRecord], monkeypatch: pytest.MonkeyPatch
) -> list[bool]:
    """Record all of `records` in one batch: the group commit expects more until it has them all."""
    monkeypatch.setattr("models.engine.group_commit.COMMIT_DELAY_SECONDS", 60.0)
    group_commit.expects_more = lambda: True
    futures: queue.SimpleQueue[CommitFuture] = queue.SimpleQueue()
    for record in records:
        group_commit.submit(record, futures.put)
        if record is records[0]:
            # The commit thread has the first before the others arrive: only by waiting can it batch them.
            eventually(group_commit._queue.empty)
    group_commit.flush()
    return [futures.get(timeout=10).result() for _ in records]


def test_records_of_busy_threads_share_a_commit(
    engine: Engine, idle: Worker, group_commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed_executions = claim_batch(engine, group_commit)
    before = group_commit.commits

    written = record_in_one_batch(group_commit, [claimed.take_record() for claimed in claimed_executions], monkeypatch)

    assert written == [True] * len(claimed_executions)
    assert group_commit.commits == before + 1


def test_of_two_records_of_one_execution_in_one_batch_the_first_is_written(
    engine: Engine, idle: Worker, group_commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed, *_ = claim_batch(engine, group_commit)
    moves.enter(claimed, "eligible")
    first = claimed.take_record()
    moves.enter(claimed, "generating")

    # As when a stopping worker releases an execution that its thread has just finished.
    assert record_in_one_batch(group_commit, [first, claimed.take_record()], monkeypatch) == [True, False]
    assert stages(claimed.execution_id) == ["queued", "checking", "eligible"]


def test_a_record_does_not_wait_while_no_thread_is_busy(
    engine: Engine, idle: Worker, group_commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = claim_batch(engine, group_commit)
    # Longer than the test may last.
    monkeypatch.setattr("models.engine.group_commit.COMMIT_DELAY_SECONDS", 3600.0)
    group_commit.expects_more = lambda: False
    futures: queue.SimpleQueue[CommitFuture] = queue.SimpleQueue()

    group_commit.submit(first.take_record(), futures.put)

    assert futures.get(timeout=20).result() is True


def test_a_record_waits_no_longer_than_the_group_commit_allows(
    engine: Engine, idle: Worker, group_commit: GroupCommit
) -> None:
    first, *_ = claim_batch(engine, group_commit)
    group_commit.expects_more = lambda: True

    assert group_commit.record(first.take_record())


def test_a_stale_fence_writes_nothing(engine: Engine, idle: Worker, group_commit: GroupCommit) -> None:
    alice = Alice()
    automation_id = alice.automation(TAGGED)
    (execution_id,) = start_executions(alice)
    late = build_claimed(engine, claim(group_commit, execution_id))
    expire_lease(execution_id)
    assert claim(engine.group_commit, execution_id) is not None
    before = execution(execution_id)

    moves.enter(late, "eligible")
    step_rows.begin(late, late.workflow.steps[0])
    step_rows.succeed(late, late.workflow.steps[0], {})
    message_rows.update(
        late, late.workflow.steps[1], channel="email", provider="mailgun", sandbox=True, to_address="x", body="x"
    )
    moves.finish(late, "succeeded", "completed")

    assert group_commit.record(late.take_record()) is False
    assert execution(execution_id) == before
    assert (steps(execution_id), messages(execution_id)) == ({}, [])
    assert fetch_value("select count(*) from stage_history where execution_id = %s", (execution_id,)) == 1
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 0


def test_a_worker_that_gave_up_its_lease_writes_nothing_more(
    engine: Engine, idle: Worker, group_commit: GroupCommit
) -> None:
    (claimed,) = claim_batch(engine, group_commit, 1)
    moves.requeue(claimed, "sending")
    assert group_commit.record(claimed.take_record())
    claimed.mark_recorded()
    before = execution(claimed.execution_id)

    moves.enter(claimed, "eligible")
    moves.finish(claimed, "succeeded", "completed")

    assert group_commit.record(claimed.take_record()) is False
    assert execution(claimed.execution_id) == before


def test_a_rejected_record_leaves_no_open_transaction(engine: Engine, idle: Worker, group_commit: GroupCommit) -> None:
    bad, good, _ = claim_batch(engine, group_commit)
    bad.add_effect(Suppress(bad.row["workspace_id"], bad.row["contact_id"], "email", "c0@example.com", "blocked"))
    # PostgreSQL rejects this: a skipped execution must have a reason.
    bad.state.update(status="skipped", stage="skipped")
    moves.enter(good, "eligible")

    with pytest.raises(psycopg2.errors.CheckViolation):
        group_commit.record(bad.take_record())

    assert group_commit.record(good.take_record()) is True
    assert execution(good.execution_id)["stage"] == "eligible"


def test_another_workers_claim_is_not_mistaken_for_a_record_whose_response_was_lost(
    engine: Engine, idle: Worker, group_commit: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    (claimed,) = claim_batch(engine, group_commit, 1)
    moves.enter(claimed, "eligible")
    write = group_commit._write_records_once

    def lose_connection_and_lease(*_arguments: Any, **_options: Any) -> set[str]:
        monkeypatch.setattr(group_commit, "_write_records_once", write)
        expire_lease(claimed.execution_id)
        # Like the record, it raises the fence by one and leaves the execution running.
        assert claim(engine.group_commit, claimed.execution_id) is not None
        raise psycopg2.OperationalError("the connection is lost")

    monkeypatch.setattr(group_commit, "_write_records_once", lose_connection_and_lease)

    assert group_commit.record(claimed.take_record()) is False
    assert execution(claimed.execution_id)["stage"] == "checking"


def test_a_record_written_twice_counts_once(engine: Engine, idle: Worker, group_commit: GroupCommit) -> None:
    alice = Alice()
    automation_id = alice.automation(TAGGED)
    (execution_id,) = start_executions(alice)
    claimed = build_claimed(engine, claim(group_commit, execution_id))
    moves.enter(claimed, "eligible")
    moves.finish(claimed, "succeeded", "completed")
    record = claimed.take_record()

    assert [group_commit.record(record), group_commit.record(record)] == [True, False]
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 1
    assert_consistent()


def test_fifty_notifications_of_one_execution_send_once(engine: Engine, sandbox: RunningSandbox, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    notify("sending", [execution_id] * 25)
    notify("executions", [execution_id] * 25)

    idle.resume()

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    idle.broker.join("sending")
    idle.broker.join("executions")
    assert count_provider_calls(sandbox) == 1
    assert_consistent()


def test_an_id_pushed_twice_into_the_queue_sends_once(engine: Engine, sandbox: RunningSandbox, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    client, key = idle.broker.client, f"{idle.broker.namespace}:sending"
    (waiting,) = client.lrange(key, 0, -1)
    client.rpush(key, waiting, waiting)

    idle.resume()

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 1


def test_a_dead_workers_execution_is_rescued_and_finished_once(
    engine: Engine, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    idle.broker.flush_all()
    claim_and_abandon(execution_id)

    idle.resume()
    assert periodic_jobs.rescue_expired_leases(settings) == {"rescued": 1}

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 1
    assert periodic_jobs.rescue_expired_leases(settings) == {"rescued": 0}


def test_a_rescue_repeats_no_finished_step(
    engine: Engine, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    (execution_id,) = start_executions(alice)
    idle.broker.flush_all()
    group_commit = GroupCommit("wrote the text, then died", 30.0)
    claimed = build_claimed(engine, claim(group_commit, execution_id))
    step = claimed.workflow.steps[0]
    moves.enter(claimed, "eligible")
    step_rows.begin(claimed, step)
    moves.enter(claimed, "generating")
    step_rows.succeed(claimed, step, {"text": "Written before the crash"})
    assert group_commit.record(claimed.take_record())
    group_commit.close()
    expire_lease(execution_id)

    idle.resume()
    periodic_jobs.rescue_expired_leases(settings)

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert count_provider_calls(sandbox, "gemini") == 0
    assert messages(execution_id)[0]["body"] == "Written before the crash"
    assert steps(execution_id)["write"]["attempts"] == 1


def test_a_death_between_a_send_and_its_record_leaves_an_unknown_outcome(
    engine: Engine, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation([{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}])
    accepted = alice.trigger()
    execution_id = accepted.executions[0]["executionId"]
    idle.broker.flush_all()
    group_commit = GroupCommit("died while sending", 30.0)
    claimed = build_claimed(engine, claim(group_commit, execution_id))
    step = claimed.workflow.steps[0]
    moves.enter(claimed, "eligible")
    moves.enter(claimed, "ready_to_send")
    step_rows.begin(claimed, step)
    message_rows.update(
        claimed, step, channel="sms", provider="telnyx", sandbox=True, to_address="+15550123", body="Hi",
        status="sending", sending_at=claimed.now(),
    )  # fmt: skip
    moves.enter(claimed, "sending")
    assert group_commit.record(claimed.take_record())
    group_commit.close()
    expire_lease(execution_id)

    idle.resume()
    periodic_jobs.rescue_expired_leases(settings)

    result = wait_until_finished(execution_id)
    assert (result["status"], result["error_class"]) == ("failed", "unknown_outcome")
    assert messages(execution_id)[0]["status"] == "outcome_unknown"
    assert stages(execution_id) == ["queued", "checking", "eligible", "ready_to_send", "sending", "failed"]
    assert count_provider_calls(sandbox, "telnyx") == 0


ALL_STAGES = ["queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed"]


@pytest.mark.parametrize("stage", ["checking", "generating", "ready_to_send"])
def test_a_death_in_a_stage_leaves_nothing_stuck_and_a_correct_history(
    engine: Engine, sandbox: RunningSandbox, idle: Worker, settings: Settings, group_commit: GroupCommit, stage: str
) -> None:
    alice = Alice()
    alice.automation(WRITTEN, rules={"daily_limit": 5})
    (execution_id,) = start_executions(alice)
    idle.broker.flush_all()
    claimed = build_claimed(engine, claim(group_commit, execution_id))
    write, send = claimed.workflow.steps
    if stage != "checking":
        assert check(engine, claimed)
        step_rows.begin(claimed, write)
        moves.enter(claimed, "generating")
    if stage == "ready_to_send":
        step_rows.succeed(claimed, write, {"text": "Written before the crash"})
        prepare(engine, claimed, send)
        moves.enter(claimed, "ready_to_send")
        moves.requeue(claimed, "sending")
    assert group_commit.record(claimed.take_record())
    if stage == "ready_to_send":
        assert claim(group_commit, execution_id)
    expire_lease(execution_id)
    assert (execution(execution_id)["status"], execution(execution_id)["stage"]) == ("running", stage)

    idle.resume()
    assert periodic_jobs.rescue_expired_leases(settings) == {"rescued": 1}

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert stages(execution_id) == ALL_STAGES
    assert count_provider_calls(sandbox) == 1
    assert fetch_value("select count(*) from limit_reservations") == 1
    assert_consistent()


def test_an_expired_lease_is_claimed_only_if_it_is_requested_alone(
    engine: Engine, idle: Worker, group_commit: GroupCommit
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    abandoned, queued = start_executions(alice, 2)
    claim_and_abandon(abandoned)

    # It may kill its worker: the other one's delivery would be counted as a death each time.
    assert [row["id"] for row in group_commit.claim_many([abandoned, queued])] == [queued]
    assert [row["id"] for row in group_commit.claim_many([abandoned])] == [abandoned]


def test_three_deaths_in_a_row_quarantine_only_that_execution(
    engine: Engine, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    poison, *others = start_executions(alice, 4)
    idle.broker.flush_all()
    for _ in range(3):
        claim_and_abandon(poison)

    idle.resume()
    periodic_jobs.rescue_expired_leases(settings)
    notify("sending", others)

    result = wait_until_finished(poison)
    assert (result["status"], result["error_class"]) == ("failed", "quarantined")
    assert "3 times" in result["error_message"]
    assert [wait_until_finished(execution_id)["status"] for execution_id in others] == ["succeeded"] * 3
    assert count_provider_calls(sandbox) == 3
    assert_consistent()


def test_two_deaths_do_not_quarantine_an_execution(
    engine: Engine, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    idle.broker.flush_all()
    for _ in range(2):
        claim_and_abandon(execution_id)

    idle.resume()
    periodic_jobs.rescue_expired_leases(settings)

    assert wait_until_finished(execution_id)["status"] == "succeeded"


def test_a_death_after_progress_is_the_first_in_a_row(engine: Engine, idle: Worker, group_commit: GroupCommit) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    (execution_id,) = start_executions(alice)
    claim_and_abandon(execution_id)
    claim_and_abandon(execution_id)
    claimed = build_claimed(engine, claim(group_commit, execution_id))
    assert execution(execution_id)["deliveries"] == 3

    moves.enter(claimed, "eligible")
    assert group_commit.record(claimed.take_record())

    assert execution(execution_id)["deliveries"] == 1


def test_a_requeued_execution_does_not_count_as_a_death(
    engine: Engine, idle: Worker, group_commit: GroupCommit
) -> None:
    alice = Alice()
    alice.automation(WRITTEN)
    (execution_id,) = start_executions(alice)
    for _ in range(5):
        claimed = build_claimed(engine, claim(group_commit, execution_id))
        moves.requeue(claimed, "generation")
        assert group_commit.record(claimed.take_record())

    assert (execution(execution_id)["status"], execution(execution_id)["deliveries"]) == ("waiting", 0)


def test_a_flushed_redis_loses_no_queued_or_waiting_execution(
    engine: Engine, sandbox: RunningSandbox, idle: Worker, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    alice.automation([{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *HELLO], trigger="later")
    later = start_executions(alice, 50, type="later")
    idle.resume()
    eventually(
        lambda: fetch_value("select count(*) from executions where status = 'waiting' and waiting_for = 'time'") == 50
    )
    idle.pause()
    start_executions(alice, 200)

    idle.broker.client.flushdb()
    execute("update executions set rung_at = rung_at - interval '1 minute' where status = 'pending'")
    execute("update executions set due_at = beckon_now(), rung_at = '2000-01-01' where id = any(%s::uuid[])", (later,))
    execute(
        "update steps set output = jsonb_set(output, '{until}', to_jsonb(beckon_now())) "
        "where execution_id = any(%s::uuid[])",
        (later,),
    )
    idle.resume()
    notified = periodic_jobs.requeue_lost_notifications(settings)["rung"] + periodic_jobs.enqueue_due(settings)["woken"]

    assert notified >= 250
    eventually(lambda: fetch_value("select count(*) from executions where status = 'succeeded'") == 250, timeout=30)
    assert count_provider_calls(sandbox) == 250
    assert_consistent()


def test_a_backlog_does_not_multiply_notifications(engine: Engine, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    start_executions(alice, 300)
    execute("update executions set rung_at = rung_at - interval '1 minute'")
    length = idle.broker.client.llen(f"{idle.broker.namespace}:sending")

    for _ in range(3):
        assert periodic_jobs.requeue_lost_notifications(settings) == {"rung": 0}

    assert idle.broker.client.llen(f"{idle.broker.namespace}:sending") == length == 300
    idle.broker.flush_all()


def test_only_missing_notifications_are_enqueued_again(engine: Engine, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    start_executions(alice, 20)
    execute("update executions set rung_at = rung_at - interval '1 minute'")
    client, key = idle.broker.client, f"{idle.broker.namespace}:sending"
    client.ltrim(key, 0, 14)

    assert periodic_jobs.requeue_lost_notifications(settings) == {"rung": 5}
    idle.broker.flush_all()


def test_a_recent_notification_is_not_enqueued_again(engine: Engine, idle: Worker, settings: Settings) -> None:
    alice = Alice()
    alice.automation(HELLO)
    start_executions(alice)
    idle.broker.flush_all()

    assert periodic_jobs.requeue_lost_notifications(settings) == {"rung": 0}


def end_other_sessions(settings: Settings) -> int:
    """End every other session of this database; return how many."""
    own_pid = fetch_value("select pg_backend_pid()")
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and application_name = 'beckon' and pid <> %s",
            (own_pid,),
        )
        return int(cursor.fetchone()[0])


@pytest.mark.slow
def test_executions_continue_after_postgresql_ends_their_sessions(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN, rules={"daily_limit": 1000, "frequency_cap": {"max": 9, "per": "1d"}})
    ids = start_executions(alice, 60)
    interruptions = 0

    def all_done() -> bool:
        nonlocal interruptions
        interruptions += interruptions < 5 and end_other_sessions(settings) > 0
        periodic_jobs.rescue_expired_leases(settings)
        periodic_jobs.enqueue_due(settings)
        return bool(fetch_value("select count(*) from executions where finished_at is null") == 0)

    # An execution that was interrupted between two records is claimed again once its lease of 30 s expires.
    eventually(all_done, timeout=100, interval=0.1)

    assert interruptions == 5
    executions = [execution(execution_id) for execution_id in ids]
    assert {(row["status"], row["error_class"]) for row in executions} <= {
        ("succeeded", None), ("failed", "unknown_outcome")
    }  # fmt: skip
    assert count_provider_calls(sandbox) <= 60
    addresses = [message["to"] for message in sandbox.list_messages(provider="mailgun")]
    assert len(addresses) == len(set(addresses))
    assert counters(alice.workspace_id, automation_id)["executions"] == 60
    assert_consistent()


def test_a_workflow_that_is_no_longer_valid_fails_with_its_reasons(
    engine: Engine, sandbox: RunningSandbox, idle: Worker
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    execute("update workflow_versions set definition = jsonb_set(definition, '{steps,0,action}', '\"send_fax\"')")

    idle.resume()

    result = wait_until_finished(execution_id)
    assert (result["status"], result["error_class"]) == ("failed", "invalid")
    assert "send_fax" in result["error_message"]
    assert count_provider_calls(sandbox) == 0
    assert counters(alice.workspace_id, automation_id)["failed"] == 1


def test_a_stalled_thread_may_not_send_after_its_process_claims_again(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    stalled = build_claimed(engine, claim(engine.group_commit, execution_id))
    expire_lease(execution_id)
    newer = build_claimed(engine, claim(engine.group_commit, execution_id))

    with hold_lease(engine, stalled, time.monotonic()):
        assert engine.leases.is_held(stalled)
        with hold_lease(engine, newer, time.monotonic()):
            assert not engine.leases.is_held(stalled)
            assert engine.leases.is_held(newer)


def test_a_heartbeat_extends_no_lease_of_another_worker(idle: Worker, group_commit: GroupCommit) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    assert claim(group_commit, execution_id)
    before = execution(execution_id)["lease_until"]

    assert extend_leases("a worker that lost it", [execution_id], 300.0) == set()
    assert execution(execution_id)["lease_until"] == before
    assert extend_leases(group_commit.owner, [execution_id], 300.0) == {execution_id}
    assert execution(execution_id)["lease_until"] > before


def test_a_lease_that_expired_by_the_monotonic_clock_forbids_sending(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    claimed = build_claimed(engine, claim(engine.group_commit, execution_id))

    with hold_lease(engine, claimed, time.monotonic() - engine.settings.lease_seconds):
        assert not engine.leases.is_held(claimed)


def test_a_lease_that_expired_while_recording_is_extended_if_unclaimed(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    claimed = build_claimed(engine, claim(engine.group_commit, execution_id))
    expire_lease(execution_id)

    with hold_lease(engine, claimed, time.monotonic() - engine.settings.lease_seconds):
        continuation = engine.record_intent(claimed)
        next(continuation)
        futures: queue.SimpleQueue[CommitFuture] = queue.SimpleQueue()
        engine.group_commit.submit(claimed.take_record(), futures.put)
        with pytest.raises(StopIteration):
            continuation.send(futures.get(timeout=10))
        assert engine.leases.is_held(claimed)
    assert fetch_value("select lease_until > beckon_now() from executions where id = %s", (execution_id,))


def test_only_its_owner_extends_a_lease(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    claim(engine.group_commit, execution_id)
    expire_lease(execution_id)

    with connection():
        assert extend_leases("another worker", [execution_id], 30.0) == set()
        assert extend_leases(engine.owner, [execution_id], 30.0) == {execution_id}
    seconds = fetch_value("select extract(epoch from lease_until - beckon_now()) from executions")
    assert 0 < seconds <= 30


def test_one_bad_record_does_not_fail_its_batch(engine: Engine, idle: Worker, group_commit: GroupCommit) -> None:
    alice = Alice()
    automation_id = alice.automation(TAGGED)
    claimed_executions = [
        build_claimed(engine, claim(group_commit, execution_id)) for execution_id in start_executions(alice, 12)
    ]
    for number, claimed in enumerate(claimed_executions):
        moves.enter(claimed, "eligible")
        moves.finish(claimed, "succeeded", "completed")
        if number == 5:
            # PostgreSQL rejects this: a skipped execution must have a reason.
            claimed.state.update(status="skipped", stage="skipped")

    def record(number: int) -> bool | str:
        try:
            return group_commit.record(claimed_executions[number].take_record())
        except psycopg2.Error as error:
            return type(error).__name__

    results = run_concurrently(12, record)

    assert [result for result in results if result is not True] == ["CheckViolation"]
    assert counters(alice.workspace_id, automation_id)["succeeded"] == 11
    assert_consistent()
