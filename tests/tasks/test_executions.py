"""From an accepted trigger to a sent message: what one execution leaves on record, and where it comes to rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from crew import provider_calls, waiting_for_a_lock
from dramatiq import Worker

from cast import HELLO, WRITTEN, Alice, counters, execution, finished, messages, stages, steps
from sandbox.server import Running
from settings import Settings
from tasks.engine import Engine
from tasks.executions import carry_on
from waiting import eventually


@contextmanager
def nothing_is_recorded(settings: Settings) -> Iterator[None]:
    """Executions may be claimed, but no step of theirs gets on record."""
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute("lock table steps in exclusive mode")
        yield
        owner.rollback()


def test_one_trigger_becomes_one_sent_message(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)

    found = finished(alice.trigger())

    assert (found["status"], found["stage"]) == ("succeeded", "completed")
    (sent,) = sandbox.messages(provider="mailgun")
    assert sent["to"] == "bob@example.com"
    (message,) = messages(found["id"])
    assert (message["status"], message["subject"]) == ("sent", "Hello Bob")
    assert message["provider_message_id"]
    assert counters(alice.workspace_id, automation_id) == {
        "executions": 1, "succeeded": 1, "failed": 0, "skipped": 0, "cancelled": 0,
    }  # fmt: skip


def test_every_stage_is_on_record_in_order(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(WRITTEN)

    found = finished(alice.trigger())

    assert stages(found["id"]) == [
        "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed",
    ]  # fmt: skip
    done = steps(found["id"])
    assert {name: one["status"] for name, one in done.items()} == {"write": "succeeded", "hello": "succeeded"}
    assert messages(found["id"])[0]["body"] == done["write"]["output"]["text"]


@pytest.mark.parametrize(
    ("workflow", "provider"), [(WRITTEN, "gemini"), (HELLO, "mailgun")], ids=["generation", "sending"]
)
def test_the_outside_world_is_spoken_to_only_when_that_is_on_record(
    engine: Engine, sandbox: Running, settings: Settings, workflow: list[dict[str, Any]], provider: str
) -> None:
    alice = Alice()
    alice.automation(workflow)
    with nothing_is_recorded(settings):
        accepted = alice.trigger()
        # No hand stands still for its record, and none has anything else to do.
        eventually(lambda: waiting_for_a_lock() == 1 and (engine.hands._open, engine.hands._busy) == (1, 0))
        assert not engine.hands._to_go_on
        assert provider_calls(sandbox, provider) == 0

    assert finished(accepted)["status"] == "succeeded"
    assert provider_calls(sandbox, provider) == 1


@pytest.mark.parametrize(
    ("workflow", "provider", "stage"),
    [(WRITTEN, "gemini", "eligible"), (HELLO, "mailgun", "ready_to_send")],
    ids=["generation", "sending"],
)
def test_what_was_announced_and_not_said_when_a_worker_stops_is_said_by_another(
    engine: Engine, idle: Worker, sandbox: Running, settings: Settings, workflow: list[dict[str, Any]], provider: str,
    stage: str,
) -> None:  # fmt: skip
    alice = Alice()
    alice.automation(workflow)
    idle.resume()
    with nothing_is_recorded(settings):
        execution_id = alice.trigger().executions[0]["executionId"]
        eventually(lambda: (engine.hands._open, engine.hands._busy) == (1, 0))
        idle.pause()
        engine.hands.close()

    left = eventually(lambda: (one := execution(execution_id))["status"] == "waiting" and one)
    assert (left["stage"], left["deliveries"]) == (stage, 0)
    assert [(one["status"], one["attempts"]) for one in steps(execution_id).values()] == [("pending", 0)]
    assert {one["status"] for one in messages(execution_id)} <= {"pending"}
    assert provider_calls(sandbox, provider) == 0

    engine.employ(4, carry_on)
    idle.resume()
    assert finished(execution_id)["status"] == "succeeded"
    assert [one["attempts"] for one in steps(execution_id).values()] == [1] * len(workflow)
    assert provider_calls(sandbox, provider) == 1


def test_a_workflow_that_sends_nothing_goes_from_eligible_to_completed(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(
        [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"], "set": {"plan": "pro"}}}]
    )

    found = finished(alice.trigger())

    assert stages(found["id"]) == ["queued", "checking", "eligible", "completed"]
