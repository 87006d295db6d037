"""Schedules: each tick starts once, for its matching contacts, also after a scheduler has died."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import clock
import metrics
from models import automation
from models.audit import SYSTEM
from models.queries import execute, fetch_value
from settings import Settings
from tasks.intake.schedules import start_due_schedules
from tasks.operators import actions
from tasks.runtime.engine import Engine
from tests.support.concurrency import run_concurrently
from tests.support.factories import HELLO, Alice, bob
from tests.support.rows import fetch_row, fetch_rows

EVERY_MORNING = {"type": "schedule", "with": {"cron": "0 9 * * *", "contacts": "contact.tags contains 'lead'"}}
SILENT = {"type": "contact.inactive", "with": {"days": 7}}


def create_contacts(alice: Alice, count: int, tag: str = "lead") -> None:
    alice.triggers([{"type": "seen", "contact": {"external_id": f"{tag}-{n}", "email": f"{tag}{n}@example.com",
                                                 "tags": [tag]}} for n in range(count)])  # fmt: skip


def make_due(late: timedelta = timedelta(seconds=30)) -> None:
    execute("update automation_schedules set next_at = beckon_now() - %s::interval", (late,))


def publish_hourly(alice: Alice, **options: Any) -> str:
    """Publish a schedule with a tick at the current minute of every hour."""
    cron = f"{clock.now().minute} * * * *"
    return alice.automation(HELLO, trigger={"type": "schedule", "with": {"cron": cron, **options}})


def list_started_ticks() -> list[str]:
    """The ticks that started something, from the payloads of their triggers."""
    rows = fetch_rows("select distinct payload->>'scheduledFor' as tick from triggers where type = 'schedule'")
    return sorted(row["tick"] for row in rows)


def fetch_skipped() -> tuple[int | None, Any, Any]:
    row = fetch_row("select skipped_ticks, skipped_from, skipped_until from automation_schedules")
    assert row is not None
    return row["skipped_ticks"], row["skipped_from"], row["skipped_until"]


def pause_automation(alice: Alice, automation_id: str) -> None:
    actions.set_pause("automation", automation_id, alice.workspace_id, SYSTEM)


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


@pytest.mark.parametrize(
    "condition", ["now contains contact.attributes.birthday", "automation.name == contact.attributes.wants"]
)
def test_the_condition_of_contacts_may_use_the_time_and_the_automation(
    engine: Engine, settings: Settings, condition: str
) -> None:
    alice = Alice()
    for number, day in enumerate((clock.now(), clock.now() + timedelta(days=40))):
        attributes = {"birthday": f"{day:%m-%d}", "wants": ["Welcome", "Goodbye"][number]}
        alice.triggers([{"type": "seen", "contact": {"external_id": f"{number}", "attributes": attributes}}])
    alice.automation(HELLO, trigger={"type": "schedule", "with": {"cron": "0 0 * * *", "contacts": condition}})
    make_due()
    assert start_due_schedules(settings) == {"schedules": 1, "executions": 1}


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


@pytest.mark.parametrize(
    ("options", "late", "started"),
    [
        ({}, timedelta(minutes=59), 1),
        ({}, timedelta(minutes=61), 0),
        ({}, timedelta(days=60), 0),
        ({"catch_up": "2h"}, timedelta(minutes=119), 1),
        ({"catch_up": "2h"}, timedelta(minutes=121), 0),
        ({"catch_up": 0}, timedelta(minutes=2), 0),
        ({"catch_up": "0s"}, timedelta(minutes=2), 0),
        ({"catch_up": "0"}, timedelta(seconds=30), 1),
    ],
)
def test_a_missed_tick_is_made_up_for_once_within_catch_up_and_skipped_after_it(
    engine: Engine, settings: Settings, options: dict[str, Any], late: timedelta, started: int
) -> None:
    alice = Alice()
    create_contacts(alice, 1)
    yearly = {"cron": "0 9 29 2 *", **options}
    automation_id = alice.automation(HELLO, trigger={"type": "schedule", "with": yearly})
    make_due(late)
    tick = fetch_value("select next_at from automation_schedules")
    skipped_before = metrics.schedule_ticks_skipped_total._value.get()

    assert start_due_schedules(settings)["executions"] == started
    assert start_due_schedules(settings) == {"schedules": 0, "executions": 0}

    assert fetch_skipped() == ((None, None, None) if started else (1, tick, tick))
    entries = fetch_rows("select object_id, detail from audit where action = 'automation.ticks_skipped'")
    assert [(entry["object_id"], entry["detail"]["count"]) for entry in entries] == [(automation_id, 1)] * (1 - started)
    assert metrics.schedule_ticks_skipped_total._value.get() - skipped_before == 1 - started


def test_several_missed_ticks_are_made_up_for_by_the_last_and_older_ones_are_skipped(
    engine: Engine, settings: Settings
) -> None:
    alice = Alice()
    create_contacts(alice, 2)
    publish_hourly(alice, catch_up="3h")
    (tick,) = (fetch_value("select next_at from automation_schedules"),)
    execute("update automation_schedules set next_at = next_at - interval '49 hours'")

    assert start_due_schedules(settings) == {"schedules": 1, "executions": 2}

    hour = timedelta(hours=1)
    assert list_started_ticks() == [(tick - hour).isoformat()]
    (count, first, last) = fetch_skipped()
    assert first == tick - 49 * hour
    assert (count, last) in ((46, tick - 4 * hour), (45, tick - 5 * hour))


@pytest.mark.parametrize("stop", ["pause", "off"])
def test_what_passed_while_it_was_paused_or_off_is_no_missed_tick(
    engine: Engine, settings: Settings, stop: str
) -> None:
    alice = Alice()
    create_contacts(alice, 1)
    automation_id = publish_hourly(alice)
    if stop == "pause":
        pause_automation(alice, automation_id)
    else:
        automation.toggle(alice.workspace_id, automation_id, False, SYSTEM)
    make_due()
    assert start_due_schedules(settings) == {"schedules": 1, "executions": 0}

    # As if no scheduler had run since.
    make_due(timedelta(days=3))
    if stop == "pause":
        actions.resume("automation", automation_id, alice.workspace_id, SYSTEM)
    else:
        automation.toggle(alice.workspace_id, automation_id, True, SYSTEM)

    assert start_due_schedules(settings) == {"schedules": 0, "executions": 0}
    assert fetch_skipped() == (None, None, None)


def test_a_new_version_has_no_missed_ticks_of_the_one_before(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    create_contacts(alice, 1)
    automation_id = publish_hourly(alice)
    make_due(timedelta(minutes=30))
    definition = {"trigger": EVERY_MORNING, "steps": HELLO}
    automation.publish(alice.workspace_id, automation_id, definition, SYSTEM)

    assert start_due_schedules(settings) == {"schedules": 0, "executions": 0}
    assert fetch_skipped() == (None, None, None)


def test_a_pause_does_not_hide_silences(engine: Engine, settings: Settings) -> None:
    alice = Alice()
    create_contacts(alice, 1)
    automation_id = alice.automation(HELLO, trigger=SILENT)
    execute("update contacts set last_event_at = beckon_now() - interval '7 days 1 minute'")
    pause_automation(alice, automation_id)
    make_due()

    assert start_due_schedules(settings) == {"schedules": 1, "executions": 1}


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
