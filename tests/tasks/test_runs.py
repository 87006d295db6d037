"""A run is counted once per contact, automation and hour, at the first step that counts, under any race or failure. A
failure of the counting stops no message."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from dramatiq import Worker
from structlog.testing import capture_logs

import clock
from ephemeral.connection import get_ephemeral
from models.audit import SYSTEM
from models.database import transaction
from models.engine import runs as engine_runs
from models.engine.group_commit import GroupCommit
from models.queries import execute, fetch_value
from models.reports import runs
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators.actions import resolve_message
from tasks.runtime import moves, step_rows
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tests.support.concurrency import claim, count_provider_calls, expire_lease
from tests.support.factories import (
    HELLO,
    Alice,
    bob,
    execution,
    expire_wait,
    messages,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually

TWO_SENDS = [*HELLO, {"id": "text", "action": "send_sms", "with": {"body": "Hi!"}}]
SEND_WAIT_SEND = [*HELLO, {"id": "rest", "action": "wait", "with": {"for": "1h"}},
          {"id": "text", "action": "send_sms", "with": {"body": "Hi!"}}]  # fmt: skip


def totals(automation_id: str) -> tuple[int, int]:
    """Return the automation's counter and its number of rows."""
    return (
        int(fetch_value("select total_runs from automations where id = %s", (automation_id,))),
        int(fetch_value("select count(*) from automation_runs where automation_id = %s", (automation_id,))),
    )


def age_window(minutes_ago: float) -> None:
    """Move the counted run into the past."""
    execute("update run_windows set counted_at = counted_at - make_interval(mins => %s)", (minutes_ago,))
    execute("update automation_runs set at = at - make_interval(mins => %s)", (minutes_ago,))


@contextmanager
def as_owner(settings: Settings) -> Iterator[Any]:
    """Run statements as the owner of the tables, each committed."""
    with closing(psycopg2.connect(settings.database_url)) as owner:
        owner.autocommit = True
        with owner.cursor() as cursor:
            yield cursor


@pytest.fixture
def restore_rights(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Revoke the workers' right to write runs until the test restores it."""
    monkeypatch.setattr(engine_runs, "BACKOFF_SECONDS", 0.0)
    grant = "grant select, insert, update, delete on automation_runs, run_windows to beckon_service"
    with as_owner(settings) as owner:
        owner.execute("revoke all on automation_runs, run_windows from beckon_service")
        try:
            yield lambda: owner.execute(grant)
        finally:
            owner.execute(grant)


def test_the_first_send_is_the_run_and_later_steps_are_none(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(TWO_SENDS)
    ended = wait_until_finished(alice.trigger())

    (run_row,) = fetch_rows("select * from automation_runs")
    assert (run_row["kind"], run_row["automation_id"], run_row["execution_id"]) == (
        "main_dm",
        automation_id,
        ended["id"],
    )
    assert run_row["contact_id"] == ended["contact_id"]
    assert totals(automation_id) == (1, 1)
    assert fetch_value("select last_run_at from automations") == run_row["at"]


def test_a_second_send_an_hour_later_in_the_same_execution_is_no_run(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(SEND_WAIT_SEND)
    waiting = wait_for_status(alice.trigger())
    assert totals(automation_id) == (1, 1)
    age_window(90)
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(engine.settings)
    wait_until_finished(waiting["id"])

    assert len(messages(waiting["id"])) == 2
    assert totals(automation_id) == (1, 1)


def test_within_the_hour_it_is_the_same_run_and_the_window_stays_where_it_was(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    wait_until_finished(alice.trigger())
    age_window(59)
    wait_until_finished(alice.trigger())
    assert totals(automation_id) == (1, 1)
    age_window(2)
    wait_until_finished(alice.trigger())
    assert totals(automation_id) == (2, 2)


def test_another_contact_and_another_automation_have_their_own_runs(engine: Engine) -> None:
    alice = Alice()
    first, second = alice.automation(HELLO), alice.automation(HELLO)
    alice.trigger()
    carol = {"external_id": "carol", "email": "carol@example.com"}
    for accepted in (alice.trigger(contact=carol), alice.trigger()):
        for started in accepted.executions:
            wait_until_finished(started["executionId"])

    eventually(lambda: totals(first) == totals(second) == (2, 2))


def test_tests_and_executions_that_send_nothing_have_no_run(engine: Engine) -> None:
    alice = Alice()
    alice.automation([{"id": "tell", "action": "notify", "with": {"channel": "slack", "text": "Hi"}}])
    wait_until_finished(alice.trigger())
    alice.automation(HELLO, trigger="tested")
    wait_until_finished(alice.trigger("tested", test=True))

    assert fetch_value("select count(*) from automation_runs") == 0
    assert fetch_value("select sum(total_runs) from automations") == 0


def test_fifty_concurrent_triggers_are_one_run_and_49_duplicates(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    with capture_logs() as logs:
        accepted = alice.triggers([{}] * 50)
        ended = [wait_until_finished(trigger) for trigger in accepted]

    assert count_provider_calls(sandbox) == 50
    assert totals(automation_id) == (1, 1)
    contact_id = ended[0]["contact_id"]
    tracking_events = [event for event in logs if event["event"].startswith("[TRACKING]")]
    tracked = [
        event
        for event in tracking_events
        if event["event"] == f"[TRACKING] Automation run tracked: {automation_id} (main_dm)"
    ]
    skipped = [
        event
        for event in tracking_events
        if event["event"] == f"[TRACKING] Duplicate run skipped for user {contact_id}"
    ]
    assert (len(tracked), len(skipped), len(tracking_events)) == (1, 49, 50)
    assert (tracked[0]["contact_id"], tracked[0]["kind"]) == (contact_id, "main_dm")
    assert {event["execution_id"] for event in tracking_events} == {execution_row["id"] for execution_row in ended}


def claim_and_send(group_commit: GroupCommit, engine: Engine, execution_id: str) -> ClaimedExecution:
    """Claim an execution and finish its send: only the record is left."""
    claimed_row = claim(group_commit, execution_id)
    assert claimed_row is not None
    claimed = ClaimedExecution(claimed_row, engine.load_workflow(claimed_row["version_id"]))
    for stage in ("eligible", "ready_to_send", "sending", "sent"):
        moves.enter(claimed, stage)
    step = claimed.workflow.steps[0]
    step_rows.begin(claimed, step)
    step_rows.succeed(claimed, step, {})
    moves.finish(claimed, "succeeded", "completed")
    return claimed


def test_racing_processes_count_one_run_per_contact_without_a_deadlock(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    automations = [alice.automation(HELLO, name=f"a{n}") for n in range(3)]
    contacts = [bob(external_id=f"b{n}", email=f"b{n}@example.com", phone=None) for n in range(3)]
    execution_ids = [
        started["executionId"]
        for _ in range(12)
        for contact in contacts
        for started in alice.trigger(contact=contact).executions
    ]
    group_commits = [GroupCommit(f"process {n}", 60.0) for n in range(6)]
    claims = [
        (group_commits[n % 6], claim_and_send(group_commits[n % 6], engine, execution_id))
        for n, execution_id in enumerate(execution_ids)
    ]
    barrier = threading.Barrier(len(claims))

    def commit(pair: tuple[GroupCommit, ClaimedExecution]) -> bool:
        record = pair[1].take_record()
        barrier.wait(20)
        return pair[0].record(record)

    with ThreadPoolExecutor(len(claims)) as pool:
        assert all(pool.map(commit, claims))

    for group_commit in group_commits:
        group_commit.close()
    assert fetch_value("select count(*) from executions where run_due_at is not null") == 0
    assert [totals(automation_id) for automation_id in automations] == [(3, 3)] * 3
    assert fetch_value("select count(distinct (automation_id, contact_id)) from automation_runs") == 9


def test_a_record_written_twice_counts_once_and_a_lost_lease_counts_nothing(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    late = GroupCommit("loses its lease", 30.0)
    lost = claim_and_send(late, engine, execution_id)
    expire_lease(execution_id)
    record = claim_and_send(engine.group_commit, engine, execution_id).take_record()

    assert late.record(lost.take_record()) is False
    assert totals(automation_id) == (0, 0)
    assert [engine.group_commit.record(record) for _ in range(3)] == [True, False, False]
    assert totals(automation_id) == (1, 1)
    late.close()


def test_an_emptied_redis_moves_no_window(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    wait_until_finished(alice.trigger())
    get_ephemeral().flushdb()
    wait_until_finished(alice.trigger())
    assert totals(automation_id) == (1, 1)


def test_revoked_rights_stop_no_send_and_the_runs_are_counted_later(
    engine: Engine, sandbox: RunningSandbox, restore_rights: Callable[[], None]
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    accepted = [alice.trigger(contact=bob(external_id=f"b{n % 4}", email=f"b{n % 4}@x.test", phone=None))
                for n in range(8)]  # fmt: skip
    ended = [wait_until_finished(trigger) for trigger in accepted]

    assert [execution_row["status"] for execution_row in ended] == ["succeeded"] * 8
    assert count_provider_calls(sandbox) == 8
    assert totals_without_rows(automation_id) == 0
    assert all(execution_row["run_due_at"] for execution_row in ended)
    with pytest.raises(Exception, match="permission denied"):
        periodic_jobs.count_due_runs(engine.settings)

    restore_rights()
    assert periodic_jobs.count_due_runs(engine.settings) == {"counted": 4, "duplicates": 4}
    assert periodic_jobs.count_due_runs(engine.settings) == {"counted": 0, "duplicates": 0}
    assert totals(automation_id) == (4, 4)
    counted = fetch_rows("select r.at, e.finished_at from automation_runs r join executions e on e.id = r.execution_id")
    assert all(run_row["at"] <= run_row["finished_at"] for run_row in counted)


def totals_without_rows(automation_id: str) -> int:
    return int(fetch_value("select total_runs from automations where id = %s", (automation_id,)))


@pytest.mark.parametrize("past_the_hour", [0.0, 0.000001, 1800.0, 3599.999999])
def test_the_last_24_hours_are_exact_in_any_order_of_counting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, past_the_hour: float
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    with transaction():
        now = fetch_value("select date_trunc('hour', now()) + make_interval(secs => %s)", (past_the_hour,))
        offset = (now - fetch_value("select now()")).total_seconds()
        fetch_rows("select set_config('beckon.clock_offset', %s, true)", (f"{offset:.6f}",))
        monkeypatch.setattr(clock, "OFFSET_SECONDS", offset)
        moment, day = timedelta(microseconds=1), timedelta(hours=24)
        inside = [
            now,
            now - moment,
            now - timedelta(hours=23),
            now - timedelta(hours=23, minutes=59),
            now - day + moment,
        ]
        before = [now - day, now - day - moment, now - timedelta(hours=25), now - timedelta(hours=49)]
        moments = [*inside, *before]
        random.Random(past_the_hour).shuffle(moments)
        for at in moments:
            execute("insert into automation_runs values (gen_random_uuid(), %s, %s, gen_random_uuid(), "
                    "gen_random_uuid(), 'main_dm', %s)", (alice.workspace_id, automation_id, at))  # fmt: skip
            fetch_rows("select increment_automation_metrics(%s, 0, 0, 0, 0, null, 1, %s)", (automation_id, at))

        last_day = runs.fetch_last_day(alice.workspace_id, [automation_id])[automation_id]

    assert last_day["last24_hours"] == len(inside)
    assert totals(automation_id) == (9, 9)


def test_a_due_run_respects_the_hour_of_runs_before_and_after_it(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    ids = [alice.trigger().executions[0]["executionId"] for _ in range(5)]
    engine.group_commit.record(claim_and_send(engine.group_commit, engine, ids[0]).take_record())
    age_window(-24 * 60)
    # In minutes after the counted run: the first is in its hour, the second is not, the third is in the second's hour.
    for execution_id, minutes in zip(ids[1:], (59, 61, 119, 122), strict=True):
        execute("update executions set status = 'cancelled', stage = 'skipped', skipped_rule = 'x', due_at = null, "
                "run_kind = 'main_dm', finished_at = beckon_now(), "
                "run_due_at = (select at from automation_runs order by at limit 1) + make_interval(mins => %s) "
                "where id = %s", (minutes, execution_id))  # fmt: skip

    assert periodic_jobs.count_due_runs(engine.settings) == {"counted": 2, "duplicates": 2}
    assert totals(automation_id) == (3, 3)


def test_a_worker_that_starts_while_the_runs_are_locked_claims_at_once(
    engine: Engine, settings: Settings, idle: Worker
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    # Its connection is not prepared yet.
    group_commit = GroupCommit("a worker that starts", 30.0)
    with closing(psycopg2.connect(settings.database_url)) as owner, ThreadPoolExecutor(1) as threads:
        with owner.cursor() as cursor:
            cursor.execute("lock table automation_runs, run_windows in access exclusive mode")
        future = threads.submit(claim, group_commit, execution_id)
        try:
            assert future.result(timeout=10) is not None
        finally:
            owner.rollback()
    group_commit.close()


def test_a_lock_on_the_runs_stops_no_send_and_is_waited_for_once(
    engine: Engine, settings: Settings, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    # Longer than the test may last: within it, no further record waits for the lock.
    monkeypatch.setattr(engine_runs, "BACKOFF_SECONDS", 3600.0)
    monkeypatch.setattr(engine.group_commit, "tracker", engine_runs.Tracker(None))
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute("lock table automation_runs in access exclusive mode")
        with capture_logs() as logs:
            first = wait_until_finished(alice.trigger())
            second = wait_until_finished(alice.trigger())
        owner.rollback()

    assert [first["status"], second["status"]] == ["succeeded", "succeeded"]
    assert [entry["event"] for entry in logs if entry["event"].startswith("[TRACKING]")] == [
        "[TRACKING] Runs cannot be counted now and are counted later"
    ]
    assert first["run_due_at"] is not None
    assert second["run_due_at"] is not None
    assert periodic_jobs.count_due_runs(settings) == {"counted": 1, "duplicates": 1}
    assert totals(automation_id) == (1, 1)
    engine.group_commit.tracker.resume()


def test_a_message_that_an_operator_marks_as_sent_counts(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    sandbox.add_fault("telnyx", "reset_after", times=1)
    alice.automation([{"id": "text", "action": "send_sms", "with": {"body": "Hi"}}], trigger="texted")
    failed = wait_until_finished(alice.trigger("texted"))
    assert failed["error_class"] == "unknown_outcome"
    assert fetch_value("select count(*) from automation_runs") == 0

    resolve_message(alice.workspace_id, messages(failed["id"])[0]["id"], "sent", SYSTEM)

    eventually(lambda: execution(failed["id"])["status"] == "succeeded")
    assert fetch_row("select automation_id, kind from automation_runs") == {
        "automation_id": failed["automation_id"], "kind": "main_dm",
    }  # fmt: skip
    assert totals(automation_id) == (0, 0)


def test_while_tracking_is_off_everything_is_sent_and_nothing_counted(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    execute("update workspaces set run_tracking = false where id = %s", (alice.workspace_id,))
    off = wait_until_finished(alice.trigger())
    execute("update workspaces set run_tracking = true where id = %s", (alice.workspace_id,))
    assert (off["status"], off["run_due_at"], totals(automation_id)) == ("succeeded", None, (0, 0))

    wait_until_finished(alice.trigger())
    assert totals(automation_id) == (1, 1)
    assert count_provider_calls(sandbox) == 2


@pytest.mark.parametrize(("forced", "switch", "counted"), [(False, True, 0), (True, False, 1)])
def test_the_environment_overrides_the_workspaces_switch(
    engine: Engine, idle: Worker, forced: bool, switch: bool, counted: int
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    execute("update workspaces set run_tracking = %s where id = %s", (switch, alice.workspace_id))
    group_commit = GroupCommit("configured by its environment", 30.0, run_tracking=forced)
    claimed = claim_and_send(group_commit, engine, alice.trigger().executions[0]["executionId"])
    assert group_commit.record(claimed.take_record())
    group_commit.close()
    assert totals(automation_id) == (counted, counted)
