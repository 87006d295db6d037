"""Waits are rows: they end at their time or their event across restarts, and branches keep their path."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dramatiq import Worker

import clock
from ephemeral import workflow_cache
from models import automation
from models.audit import SYSTEM
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.runtime.engine import Engine
from tests.support.concurrency import count_provider_calls
from tests.support.factories import (
    HELLO,
    WRITTEN,
    Alice,
    bob,
    execution,
    expire_wait,
    messages,
    stages,
    steps,
    wait_for_status,
    wait_until_finished,
)


def send(step_id: str, subject: str) -> dict[str, Any]:
    return {"id": step_id, "action": "send_email", "with": {"subject": subject, "body": "x"}}


def wait(step_id: str, duration: str) -> dict[str, Any]:
    return {"id": step_id, "action": "wait", "with": {"for": duration}}


def await_payment() -> dict[str, Any]:
    config = {"event": "order.paid", "timeout": "2d"}
    return {"id": "paid", "action": "wait_until", "with": config,
            "then": [send("thanks", "Thanks")], "else": [send("reminder", "Reminder")]}  # fmt: skip


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def subjects(execution_id: str) -> list[str]:
    return [message["subject"] for message in messages(execution_id)]


def resume(waiting: dict[str, Any], settings: Settings) -> None:
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)


def test_a_wait_ends_at_its_time_and_no_sooner(alice: Alice, sandbox: RunningSandbox, settings: Settings) -> None:
    alice.automation([wait("pause", "2h"), *HELLO])
    started_at = clock.now()
    waiting = wait_for_status(alice.trigger())

    assert started_at <= waiting["due_at"] - timedelta(hours=2) <= clock.now()
    assert periodic_jobs.enqueue_due(settings) == {"woken": 0}
    resume(waiting, settings)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 1


def test_an_early_notification_changes_nothing(alice: Alice, idle: Worker) -> None:
    from tasks.runtime.broker import notify

    alice.automation([wait("pause", "2h"), *HELLO])
    accepted = alice.trigger()
    idle.resume()
    waiting = wait_for_status(accepted)

    notify(waiting["queue"], [waiting["id"]] * 5)
    idle.broker.join(waiting["queue"], interval=20)

    assert execution(waiting["id"]) == waiting


def test_a_wait_of_thirty_days_continues_after_the_wait_step(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([send("first", "First"), wait("month", "30d"), send("second", "Second")])
    waiting = wait_for_status(alice.trigger())
    assert waiting["stage"] == "sent"

    # Ten new processes, each without the memory of the previous one.
    for _ in range(10):
        workflow_cache.versions.clear()
        periodic_jobs.enqueue_due(settings)
        periodic_jobs.rescue_expired_leases(settings)
    assert execution(waiting["id"]) == waiting
    resume(waiting, settings)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert subjects(waiting["id"]) == ["First", "Second"]
    assert count_provider_calls(sandbox) == 2


def test_a_wait_that_is_notified_repeatedly_ends_once(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([wait("pause", "2h"), *HELLO])
    waiting = wait_for_status(alice.trigger())
    expire_wait(waiting["id"])

    assert [periodic_jobs.enqueue_due(settings)["woken"] for _ in range(3)] == [1, 0, 0]
    wait_until_finished(waiting["id"])
    assert count_provider_calls(sandbox) == 1


def test_an_event_takes_then_and_a_timeout_takes_else(alice: Alice, settings: Settings) -> None:
    alice.automation([await_payment()])
    paid, unpaid = (
        wait_for_status(alice.trigger()),
        wait_for_status(alice.trigger(contact=bob(external_id="b", email="b@b.co", phone=None))),
    )

    alice.trigger("order.paid")
    resume(unpaid, settings)

    assert wait_until_finished(paid["id"])["status"] == wait_until_finished(unpaid["id"])["status"] == "succeeded"
    assert (subjects(paid["id"]), subjects(unpaid["id"])) == (["Thanks"], ["Reminder"])


def test_an_event_that_came_before_the_wait_began_does_not_count(alice: Alice) -> None:
    alice.automation([await_payment()])
    alice.trigger("order.paid")
    assert wait_for_status(alice.trigger())["waiting_for"] == "event"


def test_a_test_trigger_wakes_no_execution(alice: Alice) -> None:
    alice.automation([await_payment()])
    waiting = wait_for_status(alice.trigger())
    alice.trigger("order.paid", test=True)
    assert execution(waiting["id"]) == waiting


def test_a_future_send_time_is_awaited_with_the_text_recorded(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    at = (clock.now() + timedelta(days=3)).isoformat()
    alice.automation([{**HELLO[0], "send_at": "{{ payload.at }}"}])
    waiting = wait_for_status(alice.trigger(payload={"at": at}))
    assert (waiting["stage"], waiting["due_at"].isoformat(), subjects(waiting["id"])) == (
        "ready_to_send", at, ["Hello Bob"],
    )  # fmt: skip

    execute("update messages set send_at = beckon_now()")
    resume(waiting, settings)

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 1


def test_a_branch_follows_its_condition(alice: Alice) -> None:
    alice.automation([{"id": "fork", "action": "branch", "if": "payload.n > 1",
                       "then": [send("big", "Big")], "else": [send("small", "Small")]}])  # fmt: skip
    big, small = (
        wait_until_finished(alice.trigger(payload={"n": 2})),
        wait_until_finished(alice.trigger(payload={"n": 1})),
    )
    assert (subjects(big["id"]), subjects(small["id"])) == (["Big"], ["Small"])


def test_a_contact_always_takes_the_same_path_of_a_split(alice: Alice) -> None:
    variants = [{"name": name, "weight": 1, "steps": [send(name, name)]} for name in ("a", "b")]
    alice.automation([{"id": "ab", "action": "split", "variants": variants}])
    contacts = [bob(external_id=f"c-{n}", email=f"c{n}@b.co", phone=None) for n in range(12)]

    ways = [
        [subjects(wait_until_finished(alice.trigger(contact=contact))["id"]) for contact in contacts] for _ in range(2)
    ]

    assert ways[0] == ways[1]
    assert {way[0] for way in ways[0]} == {"a", "b"}


def test_a_stop_ends_the_workflow_inside_a_branch_too(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation([{"id": "fork", "action": "branch", "if": "payload.over",
                       "then": [{"id": "end", "action": "stop"}], "else": []}, *HELLO])  # fmt: skip

    assert wait_until_finished(alice.trigger(payload={"over": True}))["status"] == "succeeded"
    assert count_provider_calls(sandbox) == 0
    wait_until_finished(alice.trigger(payload={"over": False}))
    assert count_provider_calls(sandbox) == 1


def build_closed_hours() -> dict[str, Any]:
    """Active hours of one minute, half a day away from now."""
    far = clock.now() + timedelta(hours=12)
    return {"start": f"{far:%H:%M}", "end": f"{far + timedelta(minutes=1):%H:%M}", "timezone": "workspace"}


def test_outside_the_active_hours_it_is_skipped(alice: Alice) -> None:
    alice.automation(rules={"active_hours": build_closed_hours()})
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "active_hours"


def test_outside_the_active_hours_it_waits_where_the_rules_say_so(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    active_hours = build_closed_hours()
    alice.automation(rules={"active_hours": active_hours, "outside_hours": "wait"})
    waiting = wait_for_status(alice.trigger())
    assert (waiting["stage"], waiting["waiting_for"]) == ("eligible", "window")
    assert f"{waiting['due_at']:%H:%M}" == active_hours["start"]
    assert waiting["stage_since"] < waiting["due_at"] < waiting["stage_since"] + timedelta(hours=12, seconds=1)

    # At the time of the window the rules are checked again, and it is still closed.
    resume(waiting, settings)
    again = wait_for_status(waiting["id"])

    assert again["fence"] > waiting["fence"]
    assert stages(waiting["id"]) == ["queued", "checking", "eligible", "checking", "eligible"]
    assert count_provider_calls(sandbox) == 0


def test_a_running_workflow_stays_on_its_version_when_a_new_one_is_published(alice: Alice, settings: Settings) -> None:
    from ephemeral import workflow_cache

    automation_id = alice.automation([wait("pause", "1h"), send("old", "Old")])
    waiting = wait_for_status(alice.trigger())
    document = {"trigger": {"type": "contact.created"}, "steps": [send("new", "New")]}
    automation.publish(alice.workspace_id, automation_id, document, SYSTEM)
    workflow_cache.invalidate(alice.workspace_id)

    fresh = wait_until_finished(alice.trigger())
    resume(waiting, settings)

    assert (fresh["version"], subjects(fresh["id"])) == (2, ["New"])
    assert wait_until_finished(waiting["id"])["version"] == 1
    assert subjects(waiting["id"]) == ["Old"]


def test_turning_an_automation_off_ends_only_what_is_not_past_checking(
    alice: Alice, idle: Worker, settings: Settings
) -> None:
    automation_id = alice.automation([wait("pause", "1h"), *HELLO])
    past = alice.trigger()
    idle.resume()
    waiting = wait_for_status(past)
    idle.pause()
    queued = alice.trigger()
    automation.toggle(alice.workspace_id, automation_id, False, SYSTEM)

    idle.resume()
    resume(waiting, settings)

    assert wait_until_finished(queued)["skipped_rule"] == "automation_off"
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"


def test_a_suppression_during_a_wait_skips_the_send_with_its_reason(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([*WRITTEN[:1], wait("pause", "1h"), *HELLO])
    waiting = wait_for_status(alice.trigger())
    execute(
        "insert into suppressions (workspace_id, contact_id, channel, reason) values (%s, %s, 'email', 'operator')",
        (alice.workspace_id, waiting["contact_id"]),
    )

    resume(waiting, settings)

    result = wait_until_finished(waiting["id"])
    assert (result["status"], result["skipped_rule"]) == ("skipped", "suppressed")
    assert steps(result["id"])["hello"]["status"] == "skipped"
    assert count_provider_calls(sandbox) == 0


def test_a_contact_that_lost_its_address_leaves_no_pending_message(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([{**HELLO[0], "send_at": "{{ payload.at }}"}])
    waiting = wait_for_status(alice.trigger(payload={"at": (clock.now() + timedelta(days=3)).isoformat()}))
    execute("update contacts set email = null")
    execute("update messages set send_at = beckon_now()")

    resume(waiting, settings)

    assert wait_until_finished(waiting["id"])["skipped_rule"] == "no_address"
    assert [message["status"] for message in messages(waiting["id"])] == ["discarded"]
    assert fetch_value("select count(*) from messages where status = 'pending'") == 0
