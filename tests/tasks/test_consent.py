"""A message that may not be sent is never sent: what its sender relied on is read again right before each send."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import clock
from models import contact, suppression
from models.address_key import hash_addresses
from models.audit import SYSTEM
from models.database import acting_as
from models.queries import execute
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.runtime.engine import Engine
from tests.support.concurrency import count_provider_calls
from tests.support.factories import (
    HELLO,
    Alice,
    bob,
    execution,
    expire_wait,
    messages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

SMS: list[dict[str, Any]] = [{"id": name, "action": "send_sms", "with": {"body": name}} for name in ("first", "second")]


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def suppress(alice: Alice, contact_id: str, reason: Any) -> None:
    with acting_as(alice.workspace_id):
        suppression.add_for_contact(alice.workspace_id, contact_id, "email", "Bob@Example.com", reason)


def delete_contact(alice: Alice, contact_id: str) -> None:
    contact.delete(alice.workspace_id, contact_id, SYSTEM, lambda: 0)


def erase_suppressed_addresses(alice: Alice) -> None:
    execute("update suppressed_addresses set address = null where workspace_id = %s", (alice.workspace_id,))


@pytest.mark.parametrize("reason", ["bounced", "unsubscribed", "complained", "stopped", "operator"])
def test_an_address_stays_suppressed_when_its_contact_is_deleted_and_comes_back(alice: Alice, reason: str) -> None:
    alice.automation(HELLO)
    contact_id = wait_until_finished(alice.trigger())["contact_id"]
    suppress(alice, contact_id, reason)
    delete_contact(alice, contact_id)

    result = wait_until_finished(alice.trigger())

    assert result["contact_id"] != contact_id
    assert (result["status"], result["skipped_rule"]) == ("skipped", "suppressed")


def test_an_erased_address_stays_suppressed_by_its_hash(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(HELLO)
    contact_id = wait_until_finished(alice.trigger())["contact_id"]
    suppress(alice, contact_id, "unsubscribed")
    delete_contact(alice, contact_id)
    erase_suppressed_addresses(alice)

    result = wait_until_finished(alice.trigger())

    assert (result["status"], result["skipped_rule"]) == ("skipped", "suppressed")
    assert count_provider_calls(sandbox) == 1


@pytest.mark.parametrize(("reason", "status"), [("bounced", "succeeded"), ("unsubscribed", "skipped")])
def test_only_a_bounce_does_not_follow_the_contact_to_a_corrected_address(
    alice: Alice, reason: str, status: str
) -> None:
    alice.automation(HELLO)
    contact_id = wait_until_finished(alice.trigger())["contact_id"]
    suppress(alice, contact_id, reason)
    contact.change(alice.workspace_id, contact_id, {"email": "robert@example.com"}, SYSTEM)

    assert wait_until_finished(alice.trigger(contact=None, contact_id=contact_id))["status"] == status


def test_a_suppressed_address_is_hashed_with_the_key_of_its_workspace(alice: Alice) -> None:
    alice.automation(HELLO)
    suppress(alice, wait_until_finished(alice.trigger())["contact_id"], "bounced")
    other = Alice(name="charlie").workspace_id

    (row,) = fetch_rows("select address, address_hash from suppressed_addresses")
    addresses = {"email": "bob@example.com"}
    assert (row["address"], bytes(row["address_hash"])) == (
        "bob@example.com", hash_addresses(alice.workspace_id, addresses)["email"],
    )  # fmt: skip
    assert hash_addresses(other, addresses) != hash_addresses(alice.workspace_id, addresses)


def test_a_pause_while_the_first_message_is_sent_holds_the_second(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="telnyx", fault="slow", times=1, seconds=0.5)
    automation_id = alice.automation(SMS)
    accepted = alice.trigger()
    eventually(lambda: [message for message in messages(execution(accepted)["id"]) if message["status"] == "sending"])
    execute("update automations set paused_at = beckon_now() where id = %s", (automation_id,))

    waiting = wait_for_status(accepted)

    assert (waiting["waiting_for"], count_provider_calls(sandbox, "telnyx")) == ("pause", 1)


def test_a_stored_message_is_sent_to_the_newest_address(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation([{**HELLO[0], "send_at": "{{ payload.at }}"}])
    waiting = wait_for_status(alice.trigger(payload={"at": (clock.now() + timedelta(days=1)).isoformat()}))
    contact.change(alice.workspace_id, waiting["contact_id"], {"email": "robert@example.com"}, SYSTEM)
    execute("update messages set send_at = beckon_now() where execution_id = %s", (waiting["id"],))
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    wait_until_finished(waiting["id"])

    assert [message["to_address"] for message in messages(waiting["id"])] == ["robert@example.com"]


def test_a_suppression_between_two_messages_skips_the_second(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=0.5)
    alice.automation([*HELLO, {**HELLO[0], "id": "again"}])
    accepted = alice.trigger()
    eventually(lambda: [message for message in messages(execution(accepted)["id"]) if message["status"] == "sending"])
    suppress(alice, execution(accepted)["contact_id"], "bounced")

    result = wait_until_finished(accepted)

    assert (result["status"], steps(result["id"])["again"]["output"]["skipped"]["rule"]) == ("succeeded", "suppressed")
    assert count_provider_calls(sandbox, "mailgun") == 1


@pytest.mark.parametrize(("outside", "status"), [("skip", "succeeded"), ("wait", "waiting")])
def test_a_later_message_is_not_sent_outside_the_active_hours(
    alice: Alice, sandbox: RunningSandbox, settings: Settings, outside: str, status: str
) -> None:
    wait = {"id": "pause", "action": "wait", "with": {"for": "1h"}}
    now, hour = clock.now(), timedelta(hours=1)
    hours = {"start": f"{now - hour:%H:%M}", "end": f"{now + hour:%H:%M}", "timezone": "contact"}
    alice.automation(
        [*HELLO, wait, {**HELLO[0], "id": "again"}], rules={"active_hours": hours, "outside_hours": outside}
    )
    waiting = wait_for_status(alice.trigger(contact=bob(timezone="UTC")))
    contact.change(alice.workspace_id, waiting["contact_id"], {"timezone": "Etc/GMT-12"}, SYSTEM)
    expire_wait(waiting["id"])
    periodic_jobs.enqueue_due(settings)

    eventually(lambda: execution(waiting["id"])["fence"] > waiting["fence"])
    result = wait_for_status(waiting["id"], status)

    assert count_provider_calls(sandbox, "mailgun") == 1
    if status == "succeeded":
        assert steps(result["id"])["again"]["output"]["skipped"]["rule"] == "active_hours"
    else:
        assert (result["stage"], f"{result['due_at']:%H:%M}") == ("ready_to_send", f"{now + 11 * hour:%H:%M}")
