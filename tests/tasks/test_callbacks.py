"""Providers' callbacks: processed once, forward only, in any order, and in one workspace only."""

from __future__ import annotations

import itertools
import random
import time
from datetime import timedelta
from typing import Any

import pytest
import redis

import clock
import metrics
from models import conversation
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from settings import Settings
from tasks import periodic_jobs
from tasks.intake.callbacks import process_event, resolve_occurred_at
from tasks.runtime.engine import Engine
from tests.support.concurrency import assert_consistent, count_provider_calls, run_concurrently
from tests.support.factories import HELLO, Alice, bob, execution, messages, steps, wait_for_status, wait_until_finished
from tests.support.rows import fetch_row, fetch_rows
from tests.support.waiting import eventually
from tests.support.webhooks import store_event

SMS = [{"id": "sms", "action": "send_sms", "with": {"body": "Hi"}}]
SEND_THEN_WAIT_FOR_REPLY = [
    *SMS,
    {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
     "then": HELLO, "else": []},
]  # fmt: skip
_numbers = itertools.count(1)


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


def refuse_connection(**_: Any) -> None:
    """Refuse a message like an unavailable Redis."""
    raise redis.ConnectionError("connection refused")


def mailgun(message: dict[str, Any], event: str, event_id: str | None = None, **more: Any) -> dict[str, Any]:
    """The body of Mailgun's webhook about a message."""
    return {
        "signature": {},
        "event-data": {
            "event": event,
            "id": event_id or f"mailgun-{next(_numbers)}",
            "timestamp": time.time(),
            "recipient": message["to_address"],
            "message": {"headers": {"message-id": str(message["provider_message_id"]).strip("<>")}},
            "user-variables": {"beckon_key": message["key"]},
            **more,
        },
    }


BOUNCED = {"severity": "permanent", "reason": "bounce", "delivery-status": {"code": 550, "message": "No such user"}}


def telnyx_status(message: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    return {
        "data": {
            "event_type": "message.finalized",
            "id": f"telnyx-{next(_numbers)}",
            "occurred_at": "2026-01-01T00:00:00.000Z",
            "payload": {
                "id": message["provider_message_id"],
                "to": [{"phone_number": message["to_address"], "status": status}],
                "errors": [],
                **more,
            },
        }
    }


def telnyx_received(text: str, sender: str = "+15550123") -> dict[str, Any]:
    return {
        "data": {
            "event_type": "message.received",
            "id": f"telnyx-{next(_numbers)}",
            "occurred_at": "2026-01-01T00:00:00.000Z",
            "payload": {"id": "in", "from": {"phone_number": sender}, "to": [{"phone_number": "+15550000"}],
                        "text": text},
        }
    }  # fmt: skip


def mail(text: str, answers: dict[str, Any]) -> dict[str, Any]:
    """An inbound route's form: Bob answers a message of ours."""
    message_id = f"<{next(_numbers)}@reply.example.com>"
    return {"id": message_id, "from": "bob@example.com", "stripped-text": text, "Message-Id": message_id,
            "In-Reply-To": answers["provider_message_id"], "timestamp": str(time.time())}  # fmt: skip


def deliver_callback(
    provider: str, body: dict[str, Any], workspace_id: str | None = None, *, sandbox: bool = False
) -> str | None:
    """Store a callback as the endpoint does and process it; return the outcome, or None for a duplicate."""
    event = body.get("event-data", body.get("data", body))
    stored = store_event(provider, str(event["id"]), workspace_id, body, sandbox=sandbox)
    if stored is None:
        return None
    process_event.fn(stored)
    return str(fetch_value("select outcome from inbound_events where id = %s", (stored,)))


def send_message(alice: Alice, steps_: list[dict[str, Any]] = HELLO) -> dict[str, Any]:
    alice.automation(steps_)
    return messages(wait_until_finished(alice.trigger())["id"])[0]


def read_status(message: dict[str, Any]) -> str:
    return str(fetch_value("select status from messages where id = %s", (message["id"],)))


# Forward only


def test_a_delivery_moves_its_message_on(alice: Alice) -> None:
    message = send_message(alice)
    assert deliver_callback("mailgun", mailgun(message, "delivered")) == "delivered"
    assert read_status(message) == "delivered"


@pytest.mark.parametrize("seed", range(6))
def test_duplicates_and_disorder_end_where_order_would(alice: Alice, seed: int) -> None:
    message = send_message(alice)
    bodies = [mailgun(message, name) for name in ("accepted", "delivered", "opened", "clicked", "delivered")] * 2
    random.Random(seed).shuffle(bodies)
    for body in bodies:
        deliver_callback("mailgun", body)

    assert read_status(message) == "read"
    assert fetch_value("select count(*) from inbound_events") == 5
    assert fetch_value("select count(*) from inbound_events where processed_at is null") == 0


def test_one_event_delivered_concurrently_is_processed_once(alice: Alice) -> None:
    message = send_message(alice)
    body = mailgun(message, "delivered", event_id="one")

    outcomes = run_concurrently(8, lambda _: deliver_callback("mailgun", body))

    assert sorted(outcomes, key=str) == [*[None] * 7, "delivered"]


def test_a_callback_whose_notification_was_lost_is_swept(alice: Alice, settings: Settings) -> None:
    message = send_message(alice)
    stored = store_event("mailgun", "lost", None, mailgun(message, "delivered"))
    execute("update inbound_events set received_at = beckon_now() - interval '1 minute' where id = %s", (stored,))

    assert periodic_jobs.enqueue_waiting_callbacks(settings) == {"rung": 1}

    eventually(lambda: read_status(message) == "delivered")


def test_a_callback_that_precedes_the_answer_to_its_send_is_not_lost(
    alice: Alice, sandbox: RunningSandbox, settings: Settings
) -> None:
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="slow", times=1, seconds=1)
    execution_id = alice.trigger().executions[0]["executionId"]
    (message,) = eventually(lambda: [message for message in messages(execution_id) if message["status"] == "sending"])

    deliver_callback("mailgun", mailgun(message, "delivered"))

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    eventually(lambda: read_status(message) == "delivered")


def test_a_report_without_our_key_waits_for_the_answer_that_brings_its_id(
    alice: Alice, sandbox: RunningSandbox
) -> None:
    alice.automation(SMS)
    sandbox.add_fault(provider="telnyx", fault="slow", seconds=1)
    execution_id = alice.trigger().executions[0]["executionId"]
    (accepted,) = eventually(lambda: sandbox.list_messages("telnyx"))
    (message,) = messages(execution_id)

    deliver_callback("telnyx", telnyx_status({**message, "provider_message_id": accepted["id"]}, "delivered"))

    eventually(lambda: read_status(message) == "delivered")


def test_a_report_waits_for_no_send_that_began_after_it(alice: Alice) -> None:
    message = send_message(alice, SMS)
    execute("update executions set status = 'running', lease_until = beckon_now(), finished_at = null")
    execute("update messages set status = 'sending', sending_at = beckon_now() + interval '1 minute'")

    outcome = deliver_callback("telnyx", telnyx_status({**message, "provider_message_id": "other"}, "delivered"))

    assert outcome == "unknown message"


def test_a_deferred_callback_that_redis_does_not_accept_is_counted_and_swept(
    alice: Alice, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = send_message(alice)
    execute("update messages set status = 'sending' where id = %s", (message["id"],))
    stored = store_event("mailgun", "deferred", None, mailgun(message, "delivered"))
    before = metrics.notifications_lost_total._value.get()

    with monkeypatch.context() as patch:
        patch.setattr(process_event, "send_with_options", refuse_connection)
        process_event(stored)

    assert metrics.notifications_lost_total._value.get() == before + 1
    execute("update messages set status = 'sent' where id = %s", (message["id"],))
    execute("update inbound_events set received_at = beckon_now() - interval '1 minute' where id = %s", (stored,))
    assert periodic_jobs.enqueue_waiting_callbacks(settings) == {"rung": 1}
    eventually(lambda: read_status(message) == "delivered")


# Unknown outcomes


def test_a_late_delivery_resolves_an_unknown_outcome_and_resumes(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation([*HELLO, {"id": "tag", "action": "update_contact", "with": {"add_tags": ["told"]}}])
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    failed = wait_until_finished(alice.trigger())
    (message,) = messages(failed["id"])

    deliver_callback("mailgun", mailgun({**message, "provider_message_id": "late@example.com"}, "delivered"))

    result = eventually(lambda: (e := execution(failed["id"]))["status"] == "succeeded" and e)
    assert (read_status(message), count_provider_calls(sandbox)) == ("delivered", 1)
    assert steps(result["id"])["tag"]["status"] == "succeeded"
    assert_consistent()


def test_a_failure_reported_later_resolves_an_unknown_outcome_too(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    failed = wait_until_finished(alice.trigger())
    (message,) = messages(failed["id"])

    deliver_callback("mailgun", mailgun(message, "failed", severity="permanent", reason="old"))

    eventually(lambda: execution(failed["id"])["status"] == "succeeded")
    assert read_status(message) == "failed"
    assert_consistent()


def test_two_callbacks_that_race_to_resolve_it_both_count(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(HELLO)
    sandbox.add_fault(provider="mailgun", fault="reset_after", times=1)
    failed = wait_until_finished(alice.trigger())
    (message,) = messages(failed["id"])
    bodies = [mailgun(message, name) for name in ("accepted", "delivered", "opened", "delivered")]

    run_concurrently(4, lambda n: deliver_callback("mailgun", bodies[n]))

    eventually(lambda: execution(failed["id"])["status"] == "succeeded")
    assert read_status(message) == "read"
    assert_consistent()


def fail_sms(alice: Alice, sandbox: RunningSandbox, times: int = 1) -> list[dict[str, Any]]:
    """Let so many SMS to one number have an unknown outcome; return the messages."""
    alice.automation(SMS)
    sandbox.add_fault(provider="telnyx", fault="reset_after", times=times)
    failed = [wait_until_finished(alice.trigger())["id"] for _ in range(times)]
    return [messages(execution_id)[0] for execution_id in failed]


def test_a_report_with_our_key_in_its_url_resolves_an_unknown_outcome(alice: Alice, sandbox: RunningSandbox) -> None:
    first, second = fail_sms(alice, sandbox, 2)
    body = telnyx_status({**second, "provider_message_id": "late"}, "delivered")

    deliver_callback("telnyx", {**body, "beckon_key": second["key"]})

    assert [read_status(message) for message in (first, second)] == ["outcome_unknown", "delivered"]


def test_a_key_in_the_url_counts_only_for_its_own_number(alice: Alice, sandbox: RunningSandbox) -> None:
    (message,) = fail_sms(alice, sandbox)
    body = telnyx_status({"provider_message_id": "late", "to_address": "+15550999"}, "delivered")

    assert deliver_callback("telnyx", {**body, "beckon_key": message["key"]}) == "unknown message"

    assert read_status(message) == "outcome_unknown"


@pytest.mark.parametrize(
    ("text", "times", "status"),
    [("Hi", 1, "delivered"), ("Hi", 2, "outcome_unknown"), ("Ho", 1, "outcome_unknown"), (None, 1, "outcome_unknown")],
)
def test_a_report_by_number_and_text_resolves_the_only_message_that_fits(
    alice: Alice, sandbox: RunningSandbox, text: str | None, times: int, status: str
) -> None:
    message, *_ = fail_sms(alice, sandbox, times)

    for number in range(2):
        late = {**message, "provider_message_id": f"late-{number}"}
        deliver_callback("telnyx", telnyx_status(late, "delivered", text=text))

    assert read_status(message) == status
    notes = [entry for entry in messages(message["execution_id"])[0]["look_up_log"] if entry.get("reported")]
    assert len(notes) == (1 if times > 1 else 0)


# Suppressions


@pytest.mark.parametrize(
    ("event", "more", "reason"),
    [("failed", BOUNCED, "bounced"), ("complained", {}, "complained"), ("unsubscribed", {}, "unsubscribed")],
)
def test_a_bounce_a_complaint_and_an_unsubscription_suppress_the_channel(
    alice: Alice, event: str, more: dict[str, Any], reason: str
) -> None:
    message = send_message(alice)

    deliver_callback("mailgun", mailgun(message, event, **more))

    assert fetch_row("select channel, reason from suppressed_addresses") == {"channel": "email", "reason": reason}
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "suppressed"


@pytest.mark.parametrize(
    ("title", "suppressed"), [("Blocked due to STOP message", True), ("Blocked by a block rule", False)]
)
def test_a_stop_that_telnyx_reports_later_suppresses_like_an_immediate_one(
    alice: Alice, title: str, suppressed: bool
) -> None:
    message = send_message(alice, SMS)
    errors = [{"code": "40009", "title": "Invalid body"}, {"code": "40300", "title": title}]

    deliver_callback("telnyx", telnyx_status(message, "delivery_failed", errors=errors))

    rule = wait_until_finished(alice.trigger())["skipped_rule"]
    assert rule == ("suppressed" if suppressed else None)


def test_a_temporary_bounce_suppresses_no_contact(alice: Alice) -> None:
    message = send_message(alice)
    deliver_callback("mailgun", mailgun(message, "failed", severity="temporary"))
    assert (read_status(message), fetch_rows("select 1 from suppressed_addresses")) == ("sent", [])


def test_a_bounce_of_a_test_suppresses_no_contact(alice: Alice) -> None:
    alice.automation(HELLO)
    (message,) = messages(wait_until_finished(alice.trigger(test=True))["id"])
    deliver_callback("mailgun", mailgun(message, "failed", **BOUNCED))
    assert fetch_rows("select 1 from suppressed_addresses") == []


def test_telnyx_callbacks_move_messages_and_suppress_contacts(alice: Alice) -> None:
    message = send_message(alice, SMS)
    assert deliver_callback("telnyx", telnyx_status(message, "delivered")) == "delivered"
    assert read_status(message) == "delivered"

    assert deliver_callback("telnyx", telnyx_received("STOP")) == "unsubscribed"

    assert fetch_row("select channel, reason from suppressions") == {"channel": "sms", "reason": "stopped"}
    assert wait_until_finished(alice.trigger())["skipped_rule"] == "suppressed"


# Waiting executions


def test_a_reply_wakes_the_execution_that_waits_for_it(alice: Alice, sandbox: RunningSandbox) -> None:
    alice.automation(SEND_THEN_WAIT_FOR_REPLY)
    waiting = wait_for_status(alice.trigger())
    assert waiting["wait_event"] == "contact.replied"

    assert deliver_callback("telnyx", telnyx_received("Yes please")) == "replied"

    assert wait_until_finished(waiting["id"])["status"] == "succeeded"
    assert steps(waiting["id"])["answer"]["output"]["taken"] == "then"
    assert count_provider_calls(sandbox) == 1


def test_another_contacts_reply_wakes_no_execution(alice: Alice) -> None:
    alice.automation(SEND_THEN_WAIT_FOR_REPLY)
    waiting = wait_for_status(alice.trigger())

    assert deliver_callback("telnyx", telnyx_received("Yes", sender="+15550999")) == "unknown sender"

    assert execution(waiting["id"])["event_at"] is None


# Conversations


def test_a_contacts_text_message_is_part_of_the_conversation(alice: Alice) -> None:
    accepted = alice.trigger()
    deliver_callback("telnyx", telnyx_received("Yes please"))
    assert fetch_row("select channel, provider_message_id, kind, text from received_messages") == {
        "channel": "sms", "provider_message_id": "in", "kind": "message", "text": "Yes please",
    }  # fmt: skip
    assert fetch_value("select channel from conversations where contact_id = %s", (accepted.contact_id,)) == "sms"


def test_an_email_reply_is_part_of_the_conversation(alice: Alice) -> None:
    message = send_message(alice)
    deliver_callback("mailgun_inbound", mail("Thank you!", answers=message))
    recent = conversation.list_recent(message["contact_id"], 10)
    assert [(entry["direction"], entry["channel"], entry["text"]) for entry in recent] == [
        ("out", "email", "Hi!"), ("in", "email", "Thank you!"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reported_ago", "counts_as_ago"),
    [(timedelta(minutes=5), timedelta(minutes=5)), (timedelta(hours=36), timedelta(hours=36)),
     (timedelta(days=3), timedelta()), (timedelta(minutes=-5), timedelta())],
    ids=["late", "as late as Meta tries", "recorded", "ahead of its time"],
)  # fmt: skip
def test_an_implausible_time_is_replaced_by_the_time_of_receipt(
    reported_ago: timedelta, counts_as_ago: timedelta
) -> None:
    received_at = clock.now()
    assert resolve_occurred_at(received_at - reported_ago, received_at) == received_at - counts_as_ago


# Tenants


def test_an_event_on_another_workspaces_path_does_nothing(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    message = send_message(alice)

    assert (
        deliver_callback("mailgun", mailgun(message, "complained"), charlie.workspace_id)
        == "another workspace's message"
    )

    assert (read_status(message), fetch_rows("select 1 from suppressed_addresses")) == ("sent", [])


def test_a_reply_on_a_workspaces_path_belongs_to_that_workspace(alice: Alice) -> None:
    charlie = Alice(name="charlie")
    for each in (alice, charlie):
        each.automation(SEND_THEN_WAIT_FOR_REPLY)
    alices, charlies = wait_for_status(alice.trigger()), wait_for_status(charlie.trigger(contact=bob()))

    deliver_callback("telnyx", telnyx_received("Yes"), charlie.workspace_id)

    assert wait_until_finished(charlies["id"])["status"] == "succeeded"
    assert execution(alices["id"])["status"] == "waiting"


@pytest.mark.parametrize("body", [{"id": "x"}, {"id": "x", "event-data": {"id": "x", "event": "delivered"}}])
def test_an_unreadable_callback_is_ignored(alice: Alice, body: dict[str, Any]) -> None:
    stored = store_event("mailgun", "x", None, body)
    assert stored is not None
    process_event.fn(stored)
    assert fetch_value("select outcome from inbound_events") == "ignored"


# The sandbox's signature


def test_the_sandbox_moves_messages_that_were_sent_to_it(alice: Alice) -> None:
    message = send_message(alice)
    assert deliver_callback("mailgun", mailgun(message, "delivered"), sandbox=True) == "delivered"
    assert read_status(message) == "delivered"


@pytest.mark.parametrize("event", ["delivered", "failed", "complained", "unsubscribed"])
def test_the_sandbox_moves_no_message_that_went_to_a_provider(alice: Alice, event: str) -> None:
    message = send_message(alice)
    execute("update messages set sandbox = false, status = 'outcome_unknown' where id = %s", (message["id"],))
    more = BOUNCED if event == "failed" else {}
    assert deliver_callback("mailgun", mailgun(message, event, **more), sandbox=True) == "not of the sandbox"
    assert read_status(message) == "outcome_unknown"
    assert fetch_value("select count(*) from suppressed_addresses") == 0
    assert deliver_callback("mailgun", mailgun(message, "delivered")) == "delivered"
    assert read_status(message) == "delivered"


def test_a_sandbox_event_does_not_block_a_real_one_with_the_same_id(alice: Alice) -> None:
    message = send_message(alice)
    execute("update messages set sandbox = false where id = %s", (message["id"],))
    body = mailgun(message, "delivered", event_id="same")
    assert deliver_callback("mailgun", body, sandbox=True) == "not of the sandbox"
    assert deliver_callback("mailgun", body) == "delivered"


@pytest.mark.parametrize("text", ["Yes please", "STOP"])
def test_the_sandbox_affects_no_contact_outside_the_demo_workspace(engine: Engine, text: str) -> None:
    real = Alice(demo=False)
    real.automation([{"id": "end", "action": "stop"}])
    wait_until_finished(real.trigger())
    for workspace_id in (None, real.workspace_id):
        assert deliver_callback("telnyx", telnyx_received(text), workspace_id, sandbox=True) == "unknown sender"
    assert fetch_value("select count(*) from suppressed_addresses") == 0
    assert fetch_value("select count(*) from received_messages") == 0
    assert deliver_callback("telnyx", telnyx_received(text)) in ("replied", "unsubscribed")


def test_a_reply_to_a_tests_message_concerns_only_that_test(engine: Engine) -> None:
    real = Alice(demo=False)
    real.automation([
        {"id": "hello", "action": "send_email", "with": {"subject": "Hi", "body": "Hi"}},
        {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"}},
    ])  # fmt: skip
    test = wait_for_status(real.trigger(test=True))
    message = messages(test["id"])[0]
    waiting = wait_for_status(real.trigger(contact=bob(), test=True))
    execute("update executions set test = false where id = %s", (waiting["id"],))

    assert deliver_callback("mailgun_inbound", mail("Yes", message), sandbox=True) == "replied"

    eventually(lambda: execution(test["id"])["status"] == "succeeded")
    assert execution(waiting["id"])["status"] == "waiting"
    assert fetch_value("select count(*) from received_messages") == 0
    execute("update executions set test = true where id = %s", (waiting["id"],))


@pytest.mark.parametrize(
    "sender",
    ["Shop <Hello@shop.example.com>", "replies@shop.example.com", "Ours <step@shop.example.com>"],
    ids=["configured sender", "address of replies", "sender of the message"],
)
def test_mail_from_our_own_address_is_no_reply(alice: Alice, monkeypatch: pytest.MonkeyPatch, sender: str) -> None:
    monkeypatch.setenv("MAILGUN_FROM", "Shop <hello@shop.example.com>")
    body = {"subject": "Hi", "body": "Hello", "from": "Ours <step@shop.example.com>"}
    email = [{"id": "mail", "action": "send_email", "with": body}]
    wait = {"id": "answer", "action": "wait_until", "with": {"event": "contact.replied", "timeout": "2d"},
            "then": HELLO, "else": []}  # fmt: skip
    alice.automation([*email, wait])
    waiting = wait_for_status(alice.trigger())
    (message,) = messages(waiting["id"])
    copy = mail("Got it", message) | {"from": sender, "recipient": "replies@shop.example.com"}
    assert deliver_callback("mailgun_inbound", copy) == "own"
    assert execution(waiting["id"])["status"] == "waiting"
    assert deliver_callback("mailgun_inbound", mail("Got it", message)) == "replied"


def test_an_sms_from_the_number_that_it_was_sent_to_is_no_reply(alice: Alice) -> None:
    alice.automation(SEND_THEN_WAIT_FOR_REPLY)
    waiting = wait_for_status(alice.trigger(contact=bob(phone="+15550000")))
    assert deliver_callback("telnyx", telnyx_received("Got it", sender="+15550000")) == "own"
    assert execution(waiting["id"])["status"] == "waiting"
    assert deliver_callback("telnyx", telnyx_received("STOP", sender="+15550000")) == "unsubscribed"
