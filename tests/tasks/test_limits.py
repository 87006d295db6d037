"""Limits hold under concurrency: a daily limit of N sends N, and every place that was not used is free again."""

from __future__ import annotations

from typing import Any

from crew import at_once, books_balance, provider_calls
from dramatiq import Worker

from cast import HELLO, WRITTEN, Alice, at_rest, bob, execution, finished, let_time_pass, messages
from models.audit import SYSTEM
from models.database import changed, row, rows, value
from models.limits import EVERYBODY
from models.reports.filters import ExecutionFilters
from sandbox.server import Running
from settings import Settings
from tasks import operators, sweeps
from tasks.engine import Engine
from waiting import eventually

RESTED = [{"id": "rest", "action": "wait", "with": {"for": "1h"}}, *HELLO]


def somebody(number: int) -> dict[str, Any]:
    return {"external_id": f"c-{number}", "email": f"c{number}@example.com"}


def taken(automation_id: str) -> int:
    """Places of the automation that are taken today."""
    return int(
        value(
            "select coalesce(max(count), 0) from limit_counts where automation_id = %s and contact_id = %s",
            (automation_id, EVERYBODY),
        )
    )


def test_of_150_that_race_for_100_places_exactly_100_are_sent(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    automation_id = alice.automation(WRITTEN, rules={"daily_limit": 100})

    at_once(15, lambda hand: alice.triggers([{"contact": somebody(hand * 10 + n)} for n in range(10)]))
    eventually(lambda: value("select count(*) from executions where finished_at is not null") == 150, within=30)

    assert provider_calls(sandbox) == 100
    skipped = rows("select skipped_rule, skipped_detail from executions where status = 'skipped'")
    assert len(skipped) == 50
    assert {(one["skipped_rule"], one["skipped_detail"]["limit"], one["skipped_detail"]["measured"])
            for one in skipped} == {("daily_limit", 100, 100)}  # fmt: skip
    assert taken(automation_id) == 100
    books_balance()


def test_a_contacts_own_limit_holds_while_fifteen_triggers_race(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(rules={"contact_daily_limit": 2, "daily_limit": 10})

    at_once(15, lambda hand: alice.trigger(payload={"n": hand}))
    eventually(lambda: value("select count(*) from executions where finished_at is not null") == 15)

    assert provider_calls(sandbox) == 2
    assert value("select count(*) from executions where skipped_rule = 'contact_daily_limit'") == 13


def test_a_round_that_ends_without_sending_gives_its_place_back(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    fork = {"id": "fork", "action": "branch", "if": "payload.send", "then": HELLO, "else": []}
    automation_id = alice.automation([fork], rules={"daily_limit": 1})

    assert finished(alice.trigger(payload={"send": False}))["status"] == "succeeded"
    assert taken(automation_id) == 0
    assert finished(alice.trigger(payload={"send": True}))["status"] == "succeeded"
    assert finished(alice.trigger(payload={"send": True}))["status"] == "skipped"
    assert provider_calls(sandbox) == 1


def test_a_failed_round_gives_its_place_back_and_a_retry_takes_one_again(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    text = {"subject": "x", "body": "{{ payload.word }}"}
    automation_id = alice.automation([{"id": "hello", "action": "send_email", "with": text}], rules={"daily_limit": 1})
    failed = finished(alice.trigger())
    assert (failed["status"], taken(automation_id)) == ("failed", 0)

    assert finished(alice.trigger(payload={"word": "hi"}))["status"] == "succeeded"
    changed('update triggers set payload = \'{"word": "now"}\' where id = %s', (failed["trigger_id"],))
    operators.retry_execution(alice.workspace_id, failed["id"], SYSTEM)

    again = eventually(lambda: (e := execution(failed["id"]))["finished_at"] and e["attempt"] == 2 and e)
    assert (again["status"], again["skipped_rule"]) == ("skipped", "daily_limit")
    assert (provider_calls(sandbox), taken(automation_id)) == (1, 1)
    books_balance()


def test_an_unknown_outcome_keeps_its_place(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    automation_id = alice.automation(rules={"daily_limit": 5})
    sandbox.fault(provider="mailgun", fault="reset_after", times=1)

    assert finished(alice.trigger())["error_class"] == "unknown_outcome"

    assert taken(automation_id) == 1


def test_cancelling_what_waits_frees_the_places_of_all_of_them(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    automation_id = alice.automation(RESTED, rules={"daily_limit": 5, "contact_daily_limit": 3})
    for number in (1, 1, 2):
        at_rest(alice.trigger(contact=somebody(number)))
    assert taken(automation_id) == 3

    operators.act_on_matching(alice.workspace_id, "cancel", ExecutionFilters(), SYSTEM, dry_run=False)

    assert rows("select count from limit_counts where count <> 0") == []
    books_balance()


def test_a_wait_over_midnight_takes_its_place_on_the_day_of_the_send(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(RESTED, rules={"daily_limit": 1})
    waiting = at_rest(alice.trigger())
    for table in ("limit_counts", "limit_reservations"):
        changed(f"update {table} set day = day - 1")

    let_time_pass(waiting["id"])
    sweeps.wake_due(settings)

    assert finished(waiting["id"])["status"] == "succeeded"
    days = rows("select day, count from limit_counts where contact_id = %s order by day", (EVERYBODY,))
    assert [one["count"] for one in days] == [0, 1]
    assert finished(alice.trigger())["skipped_rule"] == "daily_limit"


def test_a_day_that_is_full_when_the_wait_ends_skips_the_send(
    engine: Engine, sandbox: Running, settings: Settings
) -> None:
    alice = Alice()
    alice.automation(RESTED, rules={"daily_limit": 1})
    waiting = at_rest(alice.trigger())
    for table in ("limit_counts", "limit_reservations"):
        changed(f"update {table} set day = day - 1")
    other = at_rest(alice.trigger(contact=somebody(1)))

    let_time_pass(waiting["id"])
    sweeps.wake_due(settings)

    found = finished(waiting["id"])
    assert (found["status"], found["skipped_rule"]) == ("skipped", "daily_limit")
    assert [message["status"] for message in messages(found["id"])] == ["discarded"]
    assert execution(other["id"])["status"] == "waiting"
    assert provider_calls(sandbox) == 0


def test_the_frequency_cap_counts_over_all_automations(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(trigger="first")
    alice.automation(trigger="second", rules={"frequency_cap": {"max": 2, "per": "7d"}})
    for _ in range(2):
        finished(alice.trigger("first"))

    found = finished(alice.trigger("second"))

    assert (found["skipped_rule"], found["skipped_detail"]["measured"]) == ("frequency_cap", 2)
    changed("update messages set sent_at = sent_at - interval '7 days'")
    assert finished(alice.trigger("second"))["status"] == "succeeded"


def test_the_frequency_cap_holds_while_two_automations_race_for_a_contact(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    for name in ("first", "second"):
        alice.automation(rules={"frequency_cap": {"max": 3, "per": "7d"}}, name=name)

    at_once(6, lambda hand: alice.trigger(payload={"n": hand}))
    eventually(lambda: value("select count(*) from executions where finished_at is not null") == 12)

    assert provider_calls(sandbox) == 3
    skipped = rows("select skipped_rule, skipped_detail from executions where status = 'skipped'")
    assert {(one["skipped_rule"], one["skipped_detail"]["measured"]) for one in skipped} == {("frequency_cap", 3)}
    assert finished(alice.trigger(contact=somebody(1)))["status"] == "succeeded"


def test_a_message_on_its_way_counts_for_the_frequency_cap_until_it_is_known_not_to_come(
    engine: Engine, sandbox: Running
) -> None:
    alice = Alice()
    cap = {"frequency_cap": {"max": 1, "per": "7d"}}
    alice.automation(RESTED, trigger="slow", rules=cap)
    alice.automation(trigger="fast", rules=cap)
    waiting = at_rest(alice.trigger("slow"))

    found = finished(alice.trigger("fast"))

    assert (found["skipped_rule"], found["skipped_detail"]["words"]) == (
        "frequency_cap", "Frequency cap: 1 of 1 messages in 7 days, 1 of them still on its way",
    )  # fmt: skip
    operators.cancel_execution(alice.workspace_id, waiting["id"], SYSTEM)
    assert finished(alice.trigger("fast"))["status"] == "succeeded"


def test_after_finish_lets_a_contact_in_once_the_first_passage_is_over(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    alice.automation(RESTED, rules={"reentry": "after_finish"})
    waiting = at_rest(alice.trigger())

    assert finished(alice.trigger())["skipped_rule"] == "reentry"
    let_time_pass(waiting["id"])
    sweeps.wake_due(settings)
    finished(waiting["id"])

    assert at_rest(alice.trigger())["waiting_for"] == "time"


def test_once_lets_a_contact_in_once(engine: Engine) -> None:
    alice = Alice()
    alice.automation(rules={"reentry": "once"})

    assert finished(alice.trigger())["status"] == "succeeded"
    assert finished(alice.trigger())["skipped_rule"] == "reentry"
    assert finished(alice.trigger(contact=somebody(1)))["status"] == "succeeded"


def test_of_two_that_race_into_an_automation_for_once_one_gets_in(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(rules={"reentry": "once"})

    at_once(8, lambda _: alice.trigger())
    eventually(lambda: value("select count(*) from executions where finished_at is not null") == 8)

    assert provider_calls(sandbox) == 1


def test_tests_take_no_place(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    automation_id = alice.automation(rules={"daily_limit": 1, "contact_daily_limit": 1})
    idle.resume()

    for _ in range(3):
        assert finished(alice.trigger(test=True))["status"] == "succeeded"

    assert taken(automation_id) == 0
    assert row("select 1 from limit_reservations") is None
    assert finished(alice.trigger(contact=bob()))["status"] == "succeeded"
