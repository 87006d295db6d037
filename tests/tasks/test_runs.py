"""A run is counted once for a contact and automation in an hour, at the first step that counts, whatever races or
breaks; and whatever breaks in the counting, messages go out."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from crew import let_lease_run_out, provider_calls
from dramatiq import Worker
from structlog.testing import capture_logs

import clock
from cast import HELLO, Alice, at_rest, bob, execution, finished, let_time_pass, messages
from ephemeral.connection import ephemeral
from models import run
from models.audit import SYSTEM
from models.database import changed, row, rows, transaction, value
from models.ledger import Ledger
from models.reports import runs
from sandbox.server import Running
from settings import Settings
from tasks import sweeps
from tasks.engine import Engine
from tasks.operators import resolve_message
from tasks.passage import Passage
from waiting import eventually

TWICE = [*HELLO, {"id": "text", "action": "send_sms", "with": {"body": "Hi!"}}]
RESTED = [*HELLO, {"id": "rest", "action": "wait", "with": {"for": "1h"}},
          {"id": "text", "action": "send_sms", "with": {"body": "Hi!"}}]  # fmt: skip


def totals(automation_id: str) -> tuple[int, int]:
    """The automation's counter, and its rows."""
    return (
        int(value("select total_runs from automations where id = %s", (automation_id,))),
        int(value("select count(*) from automation_runs where automation_id = %s", (automation_id,))),
    )


def window_began(minutes_ago: float) -> None:
    """As if the counted run lay so far back."""
    changed("update run_windows set counted_at = counted_at - make_interval(mins => %s)", (minutes_ago,))
    changed("update automation_runs set at = at - make_interval(mins => %s)", (minutes_ago,))


@contextmanager
def as_owner(settings: Settings) -> Iterator[Any]:
    """Statements as the owner of the tables, each committed."""
    with closing(psycopg2.connect(settings.database_url)) as owner:
        owner.autocommit = True
        with owner.cursor() as cursor:
            yield cursor


@pytest.fixture
def without_rights(settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The workers may not write runs, until the test gives the rights back."""
    monkeypatch.setattr(run, "REST_SECONDS", 0.0)
    given = "grant select, insert, update, delete on automation_runs, run_windows to beckon_service"
    with as_owner(settings) as owner:
        owner.execute("revoke all on automation_runs, run_windows from beckon_service")
        try:
            yield lambda: owner.execute(given)
        finally:
            owner.execute(given)


def test_the_first_send_is_the_run_and_later_steps_are_none(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(TWICE)
    ended = finished(alice.trigger())

    (one,) = rows("select * from automation_runs")
    assert (one["kind"], one["automation_id"], one["execution_id"]) == ("main_dm", automation_id, ended["id"])
    assert one["contact_id"] == ended["contact_id"]
    assert totals(automation_id) == (1, 1)
    assert value("select last_run_at from automations") == one["at"]


def test_a_second_send_an_hour_later_in_the_same_execution_is_no_run(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(RESTED)
    waiting = at_rest(alice.trigger())
    assert totals(automation_id) == (1, 1)
    window_began(90)
    let_time_pass(waiting["id"])
    sweeps.wake_due(engine.settings)
    finished(waiting["id"])

    assert len(messages(waiting["id"])) == 2
    assert totals(automation_id) == (1, 1)


def test_within_the_hour_it_is_the_same_run_and_the_window_stays_where_it_was(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    finished(alice.trigger())
    window_began(59)
    finished(alice.trigger())
    assert totals(automation_id) == (1, 1)
    window_began(2)
    finished(alice.trigger())
    assert totals(automation_id) == (2, 2)


def test_another_contact_and_another_automation_have_runs_of_their_own(engine: Engine) -> None:
    alice = Alice()
    first, second = alice.automation(HELLO), alice.automation(HELLO)
    alice.trigger()
    carol = {"external_id": "carol", "email": "carol@example.com"}
    for one in (alice.trigger(contact=carol), alice.trigger()):
        for started in one.executions:
            finished(started["executionId"])

    eventually(lambda: totals(first) == totals(second) == (2, 2))


def test_what_sends_nothing_to_the_contact_and_what_is_a_test_has_no_run(engine: Engine) -> None:
    alice = Alice()
    alice.automation([{"id": "tell", "action": "notify", "with": {"channel": "slack", "text": "Hi"}}])
    finished(alice.trigger())
    alice.automation(HELLO, trigger="tested")
    finished(alice.trigger("tested", test=True))

    assert value("select count(*) from automation_runs") == 0
    assert value("select sum(total_runs) from automations") == 0


def test_fifty_triggers_at_once_are_fifty_executions_one_run_and_forty_nine_duplicates(
    engine: Engine, sandbox: Running
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    with capture_logs() as told:
        accepted = alice.triggers([{}] * 50)
        ended = [finished(one) for one in accepted]

    assert provider_calls(sandbox) == 50
    assert totals(automation_id) == (1, 1)
    contact_id = ended[0]["contact_id"]
    said = [one for one in told if one["event"].startswith("[TRACKING]")]
    tracked = [one for one in said if one["event"] == f"[TRACKING] Automation run tracked: {automation_id} (main_dm)"]
    skipped = [one for one in said if one["event"] == f"[TRACKING] Duplicate run skipped for user {contact_id}"]
    assert (len(tracked), len(skipped), len(said)) == (1, 49, 50)
    assert (tracked[0]["contact_id"], tracked[0]["kind"]) == (contact_id, "main_dm")
    assert {one["execution_id"] for one in said} == {one["id"] for one in ended}


def sent_by(ledger: Ledger, engine: Engine, execution_id: str) -> Passage:
    """Claimed by a worker, and its send is over: all that is left is the record."""
    claimed = ledger.claim(execution_id)
    assert claimed is not None
    passage = Passage(claimed, engine.workflow(claimed["version_id"]), time.monotonic())
    for stage in ("eligible", "ready_to_send", "sending", "sent"):
        passage.enter(stage)
    step = passage.workflow.steps[0]
    passage.begin(step)
    passage.succeed(step, {})
    passage.finish("succeeded", "completed")
    return passage


def test_racing_processes_count_one_run_a_contact_and_do_not_wait_for_each_other_in_a_ring(
    engine: Engine, idle: Worker
) -> None:
    alice = Alice()
    automations = [alice.automation(HELLO, name=f"a{n}") for n in range(3)]
    people = [bob(external_id=f"b{n}", email=f"b{n}@example.com", phone=None) for n in range(3)]
    started = [
        one["executionId"] for _ in range(12) for person in people for one in alice.trigger(contact=person).executions
    ]
    ledgers = [Ledger(f"process {n}", 60.0) for n in range(6)]
    passages = [(ledgers[n % 6], sent_by(ledgers[n % 6], engine, one)) for n, one in enumerate(started)]
    barrier = threading.Barrier(len(passages))

    def record(given: tuple[Ledger, Passage]) -> bool:
        progress = given[1].progress()
        barrier.wait(20)
        return given[0].record(progress)

    with ThreadPoolExecutor(len(passages)) as pool:
        assert all(pool.map(record, passages))

    for ledger in ledgers:
        ledger.close()
    assert value("select count(*) from executions where run_due_at is not null") == 0
    assert [totals(one) for one in automations] == [(3, 3)] * 3
    assert value("select count(distinct (automation_id, contact_id)) from automation_runs") == 9


def test_a_record_written_twice_counts_once_and_a_lost_lease_counts_nothing(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    late = Ledger("loses its lease", 30.0)
    lost = sent_by(late, engine, execution_id)
    let_lease_run_out(execution_id)
    progress = sent_by(engine.ledger, engine, execution_id).progress()

    assert late.record(lost.progress()) is False
    assert totals(automation_id) == (0, 0)
    assert [engine.ledger.record(progress) for _ in range(3)] == [True, False, False]
    assert totals(automation_id) == (1, 1)
    late.close()


def test_an_emptied_redis_moves_no_window(engine: Engine) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    finished(alice.trigger())
    ephemeral().flushdb()
    finished(alice.trigger())
    assert totals(automation_id) == (1, 1)


def test_rights_taken_from_the_tracker_stop_no_send_and_the_runs_are_counted_when_they_are_back(
    engine: Engine, sandbox: Running, without_rights: Callable[[], None]
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    accepted = [alice.trigger(contact=bob(external_id=f"b{n % 4}", email=f"b{n % 4}@x.test", phone=None))
                for n in range(8)]  # fmt: skip
    ended = [finished(one) for one in accepted]

    assert [one["status"] for one in ended] == ["succeeded"] * 8
    assert provider_calls(sandbox) == 8
    assert totals_without_rows(automation_id) == 0
    assert all(one["run_due_at"] for one in ended)
    with pytest.raises(Exception, match="permission denied"):
        sweeps.count_due_runs(engine.settings)

    without_rights()
    assert sweeps.count_due_runs(engine.settings) == {"counted": 4, "duplicates": 4}
    assert sweeps.count_due_runs(engine.settings) == {"counted": 0, "duplicates": 0}
    assert totals(automation_id) == (4, 4)
    counted = rows("select r.at, e.finished_at from automation_runs r join executions e on e.id = r.execution_id")
    assert all(abs((one["at"] - one["finished_at"]).total_seconds()) < 5 for one in counted)


def totals_without_rows(automation_id: str) -> int:
    return int(value("select total_runs from automations where id = %s", (automation_id,)))


@pytest.mark.parametrize("past_the_hour", [0.0, 0.000001, 1800.0, 3599.999999])
def test_the_last_24_hours_are_exact_to_the_microsecond_in_whichever_order_runs_were_counted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, past_the_hour: float
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    with transaction():
        now = value("select date_trunc('hour', now()) + make_interval(secs => %s)", (past_the_hour,))
        ahead = (now - value("select now()")).total_seconds()
        rows("select set_config('beckon.clock_offset', %s, true)", (f"{ahead:.6f}",))
        monkeypatch.setattr(clock, "OFFSET_SECONDS", ahead)
        moment, day = timedelta(microseconds=1), timedelta(hours=24)
        within = [
            now,
            now - moment,
            now - timedelta(hours=23),
            now - timedelta(hours=23, minutes=59),
            now - day + moment,
        ]
        before = [now - day, now - day - moment, now - timedelta(hours=25), now - timedelta(hours=49)]
        moments = [*within, *before]
        random.Random(past_the_hour).shuffle(moments)
        for at in moments:
            changed("insert into automation_runs values (gen_random_uuid(), %s, %s, gen_random_uuid(), "
                    "gen_random_uuid(), 'main_dm', %s)", (alice.workspace_id, automation_id, at))  # fmt: skip
            rows("select increment_automation_metrics(%s, 0, 0, 0, 0, null, 1, %s)", (automation_id, at))

        found = runs.last_day(alice.workspace_id, [automation_id])[automation_id]

    assert found["last24_hours"] == len(within)
    assert totals(automation_id) == (9, 9)


def test_a_run_that_was_due_keeps_to_the_hour_of_those_counted_before_and_after_it(
    engine: Engine, idle: Worker
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    ids = [alice.trigger().executions[0]["executionId"] for _ in range(5)]
    engine.ledger.record(sent_by(engine.ledger, engine, ids[0]).progress())
    window_began(-24 * 60)
    # In minutes after the counted run: the first is its own, the second not, the third again the second's.
    for execution_id, minutes in zip(ids[1:], (59, 61, 119, 122), strict=True):
        changed("update executions set status = 'cancelled', stage = 'skipped', skipped_rule = 'x', due_at = null, "
                "run_kind = 'main_dm', finished_at = beckon_now(), "
                "run_due_at = (select at from automation_runs order by at limit 1) + make_interval(mins => %s) "
                "where id = %s", (minutes, execution_id))  # fmt: skip

    assert sweeps.count_due_runs(engine.settings) == {"counted": 2, "duplicates": 2}
    assert totals(automation_id) == (3, 3)


def test_somebody_who_locks_the_runs_delays_no_send_by_more_than_the_trackers_patience(
    engine: Engine, settings: Settings, sandbox: Running
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute("lock table automation_runs in access exclusive mode")
        began = time.monotonic()
        first = finished(alice.trigger())
        second = finished(alice.trigger())
        took = time.monotonic() - began
        owner.rollback()

    assert [first["status"], second["status"]] == ["succeeded", "succeeded"]
    assert took < 1.0 + run.REST_SECONDS
    assert first["run_due_at"] is not None
    assert second["run_due_at"] is not None
    assert sweeps.count_due_runs(settings) == {"counted": 1, "duplicates": 1}
    assert totals(automation_id) == (1, 1)
    engine.ledger.tracker.go_on()


def test_a_message_that_an_operator_marks_as_sent_counts(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    sandbox.fault("telnyx", "reset_after", times=1)
    alice.automation([{"id": "text", "action": "send_sms", "with": {"body": "Hi"}}], trigger="texted")
    held = finished(alice.trigger("texted"))
    assert held["error_class"] == "unknown_outcome"
    assert value("select count(*) from automation_runs") == 0

    resolve_message(alice.workspace_id, messages(held["id"])[0]["id"], "sent", SYSTEM)

    eventually(lambda: execution(held["id"])["status"] == "succeeded")
    assert row("select automation_id, kind from automation_runs") == {
        "automation_id": held["automation_id"], "kind": "main_dm",
    }  # fmt: skip
    assert totals(automation_id) == (0, 0)


def test_switched_off_everything_is_sent_and_nothing_counted_until_it_is_on_again(
    engine: Engine, sandbox: Running
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    changed("update workspaces set run_tracking = false where id = %s", (alice.workspace_id,))
    off = finished(alice.trigger())
    changed("update workspaces set run_tracking = true where id = %s", (alice.workspace_id,))
    assert (off["status"], off["run_due_at"], totals(automation_id)) == ("succeeded", None, (0, 0))

    finished(alice.trigger())
    assert totals(automation_id) == (1, 1)
    assert provider_calls(sandbox) == 2


@pytest.mark.parametrize(("forced", "switch", "counted"), [(False, True, 0), (True, False, 1)])
def test_the_environment_has_the_last_word(
    engine: Engine, idle: Worker, forced: bool, switch: bool, counted: int
) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)
    changed("update workspaces set run_tracking = %s where id = %s", (switch, alice.workspace_id))
    ledger = Ledger("was told by its environment", 30.0, run_tracking=forced)
    passage = sent_by(ledger, engine, alice.trigger().executions[0]["executionId"])
    assert ledger.record(passage.progress())
    ledger.close()
    assert totals(automation_id) == (counted, counted)
