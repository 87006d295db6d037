"""Limits hold under concurrency: a daily limit of N sends N, and every unused reservation is released."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import psycopg2
from dramatiq import Worker

from models.audit import SYSTEM
from models.engine.limits import ALL_CONTACTS
from models.execution_filters import ExecutionFilters
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.operators import actions as operator_actions
from tasks.operators import bulk
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, count_provider_calls, run_concurrently
from tests.support.factories import (
    HELLO,
    WRITTEN,
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

WAIT_THEN_SEND = [{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *HELLO]


def build_contact(number: int) -> dict[str, Any]:
    return {"external_id": f"c-{number}", "email": f"c{number}@example.com"}


def count_reserved(automation_id: str) -> int:
    """Count the automation's reservations of today."""
    return int(
        fetch_value(
            "select coalesce(max(count), 0) from limit_counts where automation_id = %s and contact_id = %s",
            (automation_id, ALL_CONTACTS),
        )
    )


def test_of_150_executions_that_race_for_100_sends_exactly_100_are_sent(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN, rules={"daily_limit": 100})

    run_concurrently(15, lambda index: alice.triggers([{"contact": build_contact(index * 10 + n)} for n in range(10)]))
    eventually(lambda: fetch_value("select count(*) from executions where finished_at is not null") == 150, timeout=30)

    assert count_provider_calls(sandbox) == 100
    skipped = fetch_rows("select skipped_rule, skipped_detail from executions where status = 'skipped'")
    assert len(skipped) == 50
    assert {(row["skipped_rule"], row["skipped_detail"]["limit"], row["skipped_detail"]["measured"])
            for row in skipped} == {("daily_limit", 100, 100)}  # fmt: skip
    assert count_reserved(automation_id) == 100
    assert_consistent()


def test_a_contacts_own_limit_holds_while_fifteen_triggers_race(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(rules={"contact_daily_limit": 2, "daily_limit": 10})

    run_concurrently(15, lambda index: alice.trigger(payload={"n": index}))
    eventually(lambda: fetch_value("select count(*) from executions where finished_at is not null") == 15)

    assert count_provider_calls(sandbox) == 2
    assert fetch_value("select count(*) from executions where skipped_rule = 'contact_daily_limit'") == 13


def test_a_round_that_ends_without_sending_releases_its_reservation(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    fork = {"id": "fork", "action": "branch", "if": "payload.send", "then": HELLO, "else": []}
    automation_id = alice.automation([fork], rules={"daily_limit": 1})

    assert wait_until_finished(alice.trigger(payload={"send": False}))["status"] == "succeeded"
    assert count_reserved(automation_id) == 0
    assert wait_until_finished(alice.trigger(payload={"send": True}))["status"] == "succeeded"
    assert wait_until_finished(alice.trigger(payload={"send": True}))["status"] == "skipped"
    assert count_provider_calls(sandbox) == 1


def test_a_failed_round_releases_its_reservation_and_a_retry_reserves_again(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    text = {"subject": "x", "body": "{{ payload.word }}"}
    automation_id = alice.automation([{"id": "hello", "action": "send_email", "with": text}], rules={"daily_limit": 1})
    failed = wait_until_finished(alice.trigger())
    assert (failed["status"], count_reserved(automation_id)) == ("failed", 0)

    assert wait_until_finished(alice.trigger(payload={"word": "hi"}))["status"] == "succeeded"
    execute('update triggers set payload = \'{"word": "now"}\' where id = %s', (failed["trigger_id"],))
    operator_actions.retry_execution(alice.workspace_id, failed["id"], SYSTEM)

    again = eventually(lambda: (e := execution(failed["id"]))["finished_at"] and e["attempt"] == 2 and e)
    assert (again["status"], again["skipped_rule"]) == ("skipped", "daily_limit")
    assert (count_provider_calls(sandbox), count_reserved(automation_id)) == (1, 1)
    assert_consistent()


def test_an_unknown_outcome_keeps_its_reservation(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(rules={"daily_limit": 5})
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)

    assert wait_until_finished(alice.trigger())["error_class"] == "unknown_outcome"

    assert count_reserved(automation_id) == 1


def test_cancelling_waiting_executions_releases_all_their_reservations(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(WAIT_THEN_SEND, rules={"daily_limit": 5, "contact_daily_limit": 3})
    for number in (1, 1, 2):
        wait_for_status(alice.trigger(contact=build_contact(number)))
    assert count_reserved(automation_id) == 3

    bulk.act_on_matching(alice.workspace_id, "cancel", ExecutionFilters(), SYSTEM, dry_run=False)

    assert fetch_rows("select count from limit_counts where count <> 0") == []
    assert_consistent()


def test_a_cancel_locks_counters_and_limit_counts_in_the_order_of_a_record(
    engine: Engine, sandbox: RunningSandbox, database_urls: Any
) -> None:
    """A record that counts an end and releases a reservation would otherwise deadlock with it."""
    alice = Alice()
    automation_id = alice.automation(WAIT_THEN_SEND, rules={"daily_limit": 5})
    waiting = wait_for_status(alice.trigger())
    with closing(psycopg2.connect(database_urls.owner)) as record, record, record.cursor() as cursor:
        cursor.execute("select 1 from automations where id = %s for update", (automation_id,))
        cancel = threading.Thread(
            target=operator_actions.cancel_execution, args=(alice.workspace_id, waiting["id"], SYSTEM)
        )
        cancel.start()
        eventually(lambda: fetch_value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"))
        cursor.execute("update limit_counts set count = count where automation_id = %s", (automation_id,))
        assert cursor.rowcount == 2
    cancel.join(10)
    assert execution(waiting["id"])["status"] == "cancelled"
    assert count_reserved(automation_id) == 0


def test_a_wait_over_midnight_reserves_on_the_day_of_the_send(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(WAIT_THEN_SEND, rules={"daily_limit": 1})
    waiting = wait_for_status(alice.trigger())
    for table in ("limit_counts", "limit_reservations"):
        execute(f"update {table} set day = day - 1")

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    days = fetch_rows("select day, count from limit_counts where contact_id = %s order by day", (ALL_CONTACTS,))
    assert [day["count"] for day in days] == [0, 1]
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "daily_limit"


def test_a_limit_that_is_reached_when_the_wait_ends_skips_the_send(
    engine: Engine, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(WAIT_THEN_SEND, rules={"daily_limit": 1})
    waiting = wait_for_status(alice.trigger())
    for table in ("limit_counts", "limit_reservations"):
        execute(f"update {table} set day = day - 1")
    other = wait_for_status(alice.trigger(contact=build_contact(1)))

    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    result = wait_until_finished(waiting["id"])
    assert (result["status"], result["skipped_rule"]) == ("skipped", "daily_limit")
    assert [message["status"] for message in messages(result["id"])] == ["discarded"]
    assert execution(other["id"])["status"] == "waiting"
    assert count_provider_calls(sandbox) == 0


def test_the_frequency_cap_counts_over_all_automations(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(trigger="first")
    alice.automation(trigger="second", rules={"frequency_cap": {"max": 2, "per": "7d"}})
    for _ in range(2):
        wait_until_finished(alice.trigger("first"))

    result = wait_until_finished(alice.trigger("second"))

    assert (result["skipped_rule"], result["skipped_detail"]["measured"]) == ("frequency_cap", 2)
    execute("update messages set sent_at = sent_at - interval '7 days'")
    assert wait_until_finished(alice.trigger("second"))["status"] == "succeeded"


def test_the_frequency_cap_holds_while_two_automations_race_for_a_contact(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    for name in ("first", "second"):
        alice.automation(rules={"frequency_cap": {"max": 3, "per": "7d"}}, name=name)

    run_concurrently(6, lambda index: alice.trigger(payload={"n": index}))
    eventually(lambda: fetch_value("select count(*) from executions where finished_at is not null") == 12)

    assert count_provider_calls(sandbox) == 3
    skipped = fetch_rows("select skipped_rule, skipped_detail from executions where status = 'skipped'")
    assert {
        (execution_row["skipped_rule"], execution_row["skipped_detail"]["measured"]) for execution_row in skipped
    } == {("frequency_cap", 3)}
    assert wait_until_finished(alice.trigger(contact=build_contact(1)))["status"] == "succeeded"


def test_a_pending_message_counts_for_the_frequency_cap_until_cancelled(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    cap = {"frequency_cap": {"max": 1, "per": "7d"}}
    alice.automation(WAIT_THEN_SEND, trigger="slow", rules=cap)
    alice.automation(trigger="fast", rules=cap)
    waiting = wait_for_status(alice.trigger("slow"))

    result = wait_until_finished(alice.trigger("fast"))

    assert (result["skipped_rule"], result["skipped_detail"]["words"]) == (
        "frequency_cap", "Frequency cap: 1 of 1 messages in 7 days, 1 of them pending",
    )  # fmt: skip
    operator_actions.cancel_execution(alice.workspace_id, waiting["id"], SYSTEM)
    assert wait_until_finished(alice.trigger("fast"))["status"] == "succeeded"


def test_after_finish_lets_a_contact_in_once_the_first_execution_has_ended(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    alice.automation(WAIT_THEN_SEND, rules={"reentry": "after_finish"})
    waiting = wait_for_status(alice.trigger())

    assert wait_until_finished(alice.trigger())["skipped_rule"] == "reentry"
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)
    wait_until_finished(waiting["id"])

    assert wait_for_status(alice.trigger())["waiting_for"] == "time"


def test_once_lets_a_contact_in_once(engine: Engine) -> None:
    alice = Alice()
    alice.automation(rules={"reentry": "once"})

    assert wait_until_finished(alice.trigger())["status"] == "succeeded"
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "reentry"
    assert wait_until_finished(alice.trigger(contact=build_contact(1)))["status"] == "succeeded"


def test_of_two_that_race_into_an_automation_for_once_one_enters(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(rules={"reentry": "once"})

    run_concurrently(8, lambda _: alice.trigger())
    eventually(lambda: fetch_value("select count(*) from executions where finished_at is not null") == 8)

    assert count_provider_calls(sandbox) == 1


def test_tests_reserve_no_limit(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    automation_id = alice.automation(rules={"daily_limit": 1, "contact_daily_limit": 1})
    idle.resume()

    for _ in range(3):
        assert wait_until_finished(alice.trigger(test=True))["status"] == "succeeded"

    assert count_reserved(automation_id) == 0
    assert fetch_row("select 1 from limit_reservations") is None
    assert wait_until_finished(alice.trigger(contact=bob()))["status"] == "succeeded"
