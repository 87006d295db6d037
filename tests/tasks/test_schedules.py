"""Schedules: each tick starts once, for its matching contacts, also after a scheduler has died."""

from __future__ import annotations

from models import automation
from models.audit import SYSTEM
from models.queries import execute, fetch_value
from settings import Settings
from tasks.intake.schedules import start_due_schedules
from tasks.runtime.engine import Engine
from tests.support.concurrency import run_concurrently
from tests.support.factories import HELLO, Alice, bob
from tests.support.rows import fetch_row, fetch_rows

EVERY_MORNING = {"type": "schedule", "with": {"cron": "0 9 * * *", "contacts": "contact.tags contains 'lead'"}}
SILENT = {"type": "contact.inactive", "with": {"days": 7}}


def create_contacts(alice: Alice, count: int, tag: str = "lead") -> None:
    alice.triggers([{"type": "seen", "contact": {"external_id": f"{tag}-{n}", "email": f"{tag}{n}@example.com",
                                                 "tags": [tag]}} for n in range(count)])  # fmt: skip


def make_due() -> None:
    execute("update automation_schedules set next_at = beckon_now() - interval '1 minute'")


def count_executions() -> int:
    return int(fetch_value("select count(*) from executions"))


def test_a_tick_starts_one_execution_for_each_contact_that_it_is_for(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    create_contacts(alice, 3)
    create_contacts(alice, 2, tag="customer")
    alice.automation(HELLO, trigger=EVERY_MORNING)
    make_due()

    assert start_due_schedules(settings) == {"schedules": 1, "executions": 3}
    assert {trigger["source"] for trigger in fetch_rows("select source from triggers where type = 'schedule'")} == {
        "schedule"
    }


def test_a_tick_starts_once_with_any_number_of_schedulers(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    create_contacts(alice, 5)
    alice.automation(HELLO, trigger=EVERY_MORNING)
    make_due()

    run_concurrently(4, lambda _: start_due_schedules(settings))

    assert count_executions() == 5
    assert start_due_schedules(settings) == {"schedules": 0, "executions": 0}


def test_after_a_scheduler_dies_in_a_tick_the_next_one_starts_the_rest(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    create_contacts(alice, 2)
    alice.automation(HELLO, trigger=EVERY_MORNING)
    make_due()
    tick = fetch_row("select next_at from automation_schedules")
    assert tick is not None
    start_due_schedules(settings)
    # As if it had died before it stored the next tick, and one more contact had been created.
    create_contacts(alice, 4)
    execute("update automation_schedules set next_at = %s", (tick["next_at"],))

    start_due_schedules(settings)

    assert count_executions() == 4


def test_the_next_tick_is_stored_and_lies_ahead(engine: Engine, settings: Settings) -> None:
    Alice(timezone="Europe/Rome").automation(HELLO, trigger=EVERY_MORNING)
    make_due()
    start_due_schedules(settings)

    schedule = fetch_row(
        "select extract(hour from next_at at time zone 'Europe/Rome')::int as hour, "
        "next_at > beckon_now() as ahead from automation_schedules"
    )
    assert schedule == {"hour": 9, "ahead": True}


def test_an_automation_that_is_off_skips_its_ticks(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    create_contacts(alice, 2)
    automation_id = alice.automation(HELLO, trigger=EVERY_MORNING)
    automation.toggle(alice.workspace_id, automation_id, False, SYSTEM)
    make_due()

    assert start_due_schedules(settings)["executions"] == 0


def test_a_deleted_automation_has_no_schedule(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO, trigger=EVERY_MORNING)
    automation.delete(alice.workspace_id, automation_id, SYSTEM, lambda: 0)
    assert fetch_value("select count(*) from automation_schedules") == 0


def test_a_silence_is_noticed_once(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    create_contacts(alice, 3)
    alice.automation(HELLO, trigger=SILENT)
    execute(
        "update contacts set last_event_at = beckon_now() - interval '7 days 1 minute' where external_id = 'lead-1'"
    )
    execute("update contacts set last_event_at = beckon_now() - interval '30 days' where external_id = 'lead-2'")
    make_due()

    assert start_due_schedules(settings) == {"schedules": 1, "executions": 1}
    # An hour later, at the next check.
    execute("update contacts set last_event_at = last_event_at - interval '1 hour'")
    execute("update automation_schedules set next_at = beckon_now()")
    assert start_due_schedules(settings) == {"schedules": 1, "executions": 0}


def test_a_tick_touches_no_other_workspaces_contacts(engine: Engine, settings: Settings) -> None:
    alice, charlie = Alice(), Alice(name="charlie")
    create_contacts(charlie, 3)
    alice.automation(HELLO, trigger=EVERY_MORNING)
    alice.trigger("seen", contact=bob())
    make_due()

    assert start_due_schedules(settings)["executions"] == 1
