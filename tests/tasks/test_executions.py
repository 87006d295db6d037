"""From an accepted trigger to a sent message: what one execution records, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from typing import Any

import psycopg2
import pytest
from dramatiq import Worker

from sandbox.server import RunningSandbox
from settings import Settings
from tasks.executions import claim_due, run_claimed
from tasks.runtime.broker import EXECUTION_QUEUES
from tasks.runtime.engine import Engine
from tests.support.concurrency import count_lock_waiters, count_provider_calls
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
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually


@contextmanager
def block_recording(settings: Settings) -> Iterator[None]:
    """Allow claims, but block the record of any step."""
    with closing(psycopg2.connect(settings.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute("lock table steps in exclusive mode")
        yield
        owner.rollback()


def test_one_trigger_becomes_one_sent_message(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    automation_id = alice.automation(HELLO)

    result = wait_until_finished(alice.trigger())

    assert (result["status"], result["stage"]) == ("succeeded", "completed")
    (sent,) = sandbox.list_messages(provider="mailgun")
    assert sent["to"] == "bob@example.com"
    (message,) = messages(result["id"])
    assert (message["status"], message["subject"]) == ("sent", "Hello Bob")
    assert message["provider_message_id"]
    assert counters(alice.workspace_id, automation_id) == {
        "executions": 1, "succeeded": 1, "failed": 0, "skipped": 0, "cancelled": 0,
    }  # fmt: skip


def test_no_message_is_recorded_as_sent_before_its_provider_accepted_it(
    engine: Engine, sandbox: RunningSandbox
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    contacts = [{"contact": {"external_id": f"c-{n}", "email": f"c{n}@example.com"}} for n in range(40)]
    ids = [accepted.executions[0]["executionId"] for accepted in alice.triggers(contacts)]
    results = [wait_until_finished(execution_id) for execution_id in ids]

    # By the provider's own clock, which it states in whole milliseconds.
    accepted_at = {sent["to"]: datetime.fromisoformat(sent["at"]) for sent in sandbox.list_messages(provider="mailgun")}
    for result in results:
        (message,) = messages(result["id"])
        at = accepted_at[message["to_address"]]
        assert at <= message["sent_at"] <= result["finished_at"]
        history = fetch_rows("select stage, entered_at from stage_history where execution_id = %s", (result["id"],))
        entered = {move["stage"]: move["entered_at"] for move in history}
        assert at <= entered["sent"] <= entered["completed"]


def test_every_stage_is_recorded_in_order(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(WRITTEN)

    result = wait_until_finished(alice.trigger())

    assert stages(result["id"]) == [
        "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed",
    ]  # fmt: skip
    done = steps(result["id"])
    assert {name: step["status"] for name, step in done.items()} == {"write": "succeeded", "hello": "succeeded"}
    assert messages(result["id"])[0]["body"] == done["write"]["output"]["text"]


@pytest.mark.parametrize(
    ("workflow", "provider"), [(WRITTEN, "gemini"), (HELLO, "mailgun")], ids=["generation", "sending"]
)
def test_an_outside_call_is_made_only_after_its_intent_is_recorded(
    engine: Engine, sandbox: RunningSandbox, settings: Settings, workflow: list[dict[str, Any]], provider: str
) -> None:
    alice = Alice()
    alice.automation(workflow)
    pool = engine.pools["generation" if provider == "gemini" else "sending"]
    with block_recording(settings):
        accepted = alice.trigger()
        # No thread waits for its record, and none has anything else to do.
        eventually(lambda: count_lock_waiters() == 1 and (pool._in_progress, pool._busy) == (1, 0))
        assert not pool._resumable
        assert count_provider_calls(sandbox, provider) == 0

    assert wait_until_finished(accepted)["status"] == "succeeded"
    assert count_provider_calls(sandbox, provider) == 1


@pytest.mark.parametrize(
    ("workflow", "provider", "stage"),
    [(WRITTEN, "gemini", "eligible"), (HELLO, "mailgun", "ready_to_send")],
    ids=["generation", "sending"],
)
def test_a_recorded_intent_of_a_stopped_worker_is_carried_out_by_another(
    engine: Engine, idle: Worker, sandbox: RunningSandbox, settings: Settings, workflow: list[dict[str, Any]],
    provider: str, stage: str,
) -> None:  # fmt: skip
    alice = Alice()
    alice.automation(workflow)
    pool = engine.pools["generation" if provider == "gemini" else "sending"]
    idle.resume()
    with block_recording(settings):
        execution_id = alice.trigger().executions[0]["executionId"]
        eventually(lambda: (pool._in_progress, pool._busy) == (1, 0))
        idle.pause()
        for each in engine.pools.values():
            each.close()

    waiting = eventually(lambda: (current := execution(execution_id))["status"] == "waiting" and current)
    assert (waiting["stage"], waiting["deliveries"]) == (stage, 0)
    assert [(step["status"], step["attempts"]) for step in steps(execution_id).values()] == [("pending", 0)]
    assert {message["status"] for message in messages(execution_id)} <= {"pending"}
    assert count_provider_calls(sandbox, provider) == 0

    engine.start_pools(dict.fromkeys(EXECUTION_QUEUES, 4), run_claimed, claim_due)
    idle.resume()
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert [step["attempts"] for step in steps(execution_id).values()] == [1] * len(workflow)
    assert count_provider_calls(sandbox, provider) == 1


def test_a_step_never_brings_a_contact_over_its_limits(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    steps = [{"id": name, "action": "update_contact", "with": {"set": {name: "{{ payload.text }}"}}} for name in "ab"]
    alice.automation(steps)

    result = wait_until_finished(alice.trigger(payload={"text": "x" * 9_000}))

    assert (result["status"], result["error_class"]) == ("failed", "invalid")


def test_a_workflow_that_sends_nothing_goes_from_eligible_to_completed(engine: Engine, sandbox: RunningSandbox) -> None:
    alice = Alice()
    alice.automation(
        [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"], "set": {"plan": "pro"}}}]
    )

    result = wait_until_finished(alice.trigger())

    assert stages(result["id"]) == ["queued", "checking", "eligible", "completed"]
