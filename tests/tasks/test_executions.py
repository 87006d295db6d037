"""From an accepted trigger to a sent message: what one execution leaves on record, and where it comes to rest."""

from __future__ import annotations

from cast import HELLO, WRITTEN, Alice, counters, finished, messages, stages, steps
from sandbox.server import Running
from tasks.engine import Engine


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


def test_a_workflow_that_sends_nothing_goes_from_eligible_to_completed(engine: Engine, sandbox: Running) -> None:
    alice = Alice()
    alice.automation(
        [{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"], "set": {"plan": "pro"}}}]
    )

    found = finished(alice.trigger())

    assert stages(found["id"]) == ["queued", "checking", "eligible", "completed"]
