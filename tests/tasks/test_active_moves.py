"""Executions in flight move to the published version where the plan allows it, and go on there; the others stay."""

from __future__ import annotations

from typing import Any

import pytest

from ephemeral import workflow_cache
from models import automation
from models.audit import SYSTEM
from models.queries import fetch_value
from settings import Settings
from tasks import periodic_jobs
from tasks.operators.active_moves import list_places, move_active
from tasks.runtime.engine import Engine
from tests.support.factories import Alice, execution, expire_wait, messages, wait_for_status, wait_until_finished


def send(step_id: str, subject: str) -> dict[str, Any]:
    return {"id": step_id, "action": "send_email", "with": {"subject": subject, "body": "x"}}


PAUSE = {"id": "pause", "action": "wait", "with": {"for": "1h"}}


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def publish(alice: Alice, automation_id: str, *steps: dict[str, Any], rules: Any = None) -> None:
    document = {"trigger": {"type": "contact.created"}, "steps": list(steps), **({"rules": rules} if rules else {})}
    automation.publish(alice.workspace_id, automation_id, document, SYSTEM)
    workflow_cache.invalidate(alice.workspace_id)


def resume(execution_id: str, settings: Settings) -> None:
    expire_wait(execution_id)
    periodic_jobs.enqueue_due(settings)


def test_a_waiting_execution_moves_and_does_the_new_steps(alice: Alice, settings: Settings) -> None:
    automation_id = alice.automation([send("first", "First"), PAUSE, send("old", "Old")])
    waiting = wait_for_status(alice.trigger())
    publish(alice, automation_id, send("first", "First"), PAUSE, send("new", "New"))

    (place,) = list_places(alice.workspace_id, automation_id)
    assert (place.version, place.place, place.count, place.refusal) == (1, "At “pause”", 1, None)
    assert place.outcome == "Stays at “pause”, then goes on with “new”."
    assert execution(waiting["id"])["version"] == 1
    result = move_active(alice.workspace_id, automation_id, {1}, SYSTEM)

    assert (result.moved, result.left) == (1, 0)
    moved = execution(waiting["id"])
    assert (moved["version"], moved["due_at"], moved["status"]) == (2, waiting["due_at"], "waiting")
    resume(waiting["id"], settings)
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert [message["subject"] for message in messages(waiting["id"])] == ["First", "New"]
    action = "select detail from audit where action = 'automation.executions_moved'"
    assert fetch_value(action) == {"from": [1], "to": 2, "moved": 1}


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([send("first", "Other"), PAUSE, send("new", "New")], "“first” is different"),
        ([send("first", "First"), {**PAUSE, "with": {"for": "5m"}}, send("new", "New")], "“pause” is different"),
        ([PAUSE, send("new", "New")], "no step “first”"),
        ([send("first", "First"), send("new", "New"), PAUSE], "another step before “pause”"),
    ],
)
def test_what_passed_or_waits_at_a_changed_step_stays(
    alice: Alice, settings: Settings, steps: list[Any], reason: str
) -> None:
    automation_id = alice.automation([send("first", "First"), PAUSE, send("old", "Old")])
    waiting = wait_for_status(alice.trigger())
    publish(alice, automation_id, *steps)

    (place,) = list_places(alice.workspace_id, automation_id)
    assert place.refusal is not None
    assert reason in place.refusal
    assert place.outcome is None
    result = move_active(alice.workspace_id, automation_id, {1}, SYSTEM)

    assert (result.moved, result.left) == (0, 1)
    resume(waiting["id"], settings)
    assert wait_until_finished(waiting["id"])["version"] == 1
    assert [message["subject"] for message in messages(waiting["id"])] == ["First", "Old"]


def test_versions_that_are_not_selected_and_finished_executions_stay(alice: Alice) -> None:
    automation_id = alice.automation([PAUSE, send("a", "A")])
    first = wait_for_status(alice.trigger())
    publish(alice, automation_id, PAUSE, send("b", "B"))
    second = wait_for_status(alice.trigger())
    publish(alice, automation_id, PAUSE, send("c", "C"))

    assert {(place.version, place.count) for place in list_places(alice.workspace_id, automation_id)} == {
        (1, 1),
        (2, 1),
    }
    assert move_active(alice.workspace_id, automation_id, {2}, SYSTEM).moved == 1
    assert (execution(first["id"])["version"], execution(second["id"])["version"]) == (1, 3)
    assert move_active(alice.workspace_id, automation_id, {1, 2, 3}, SYSTEM).moved == 1
    assert move_active(alice.workspace_id, automation_id, {1, 2, 3}, SYSTEM).moved == 0


def test_an_execution_that_waits_for_a_reply_takes_the_new_follow_ups(alice: Alice, settings: Settings) -> None:
    rules = {"follow_ups": {"max": 2, "every": "24h"}}
    automation_id = alice.automation([send("first", "First")], rules=rules)
    waiting = wait_for_status(alice.trigger())
    publish(alice, automation_id, send("first", "First"))

    (place,) = list_places(alice.workspace_id, automation_id)
    assert (place.place, place.outcome) == (
        "Waiting for a reply", "Completes when the wait ends; no follow-up is sent.",
    )  # fmt: skip
    assert move_active(alice.workspace_id, automation_id, {1}, SYSTEM).moved == 1
    resume(waiting["id"], settings)
    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert len(messages(waiting["id"])) == 1


def test_a_new_step_after_the_last_one_keeps_what_waits_for_a_reply(alice: Alice) -> None:
    rules = {"follow_ups": {"max": 2, "every": "24h"}}
    automation_id = alice.automation([send("first", "First")], rules=rules)
    wait_for_status(alice.trigger())
    publish(alice, automation_id, send("first", "First"), send("more", "More"), rules=rules)

    (place,) = list_places(alice.workspace_id, automation_id)
    assert place.refusal == "The current version has another step “more” after the last one."
    assert move_active(alice.workspace_id, automation_id, {1}, SYSTEM).moved == 0
