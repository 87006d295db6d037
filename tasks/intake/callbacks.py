"""Processes a provider's stored callback: moves its message, adds suppressions, and wakes executions that wait for it.

Callbacks arrive twice, late and out of order. Each is processed once, a message's status only moves forward, and a
callback for a message of unknown outcome resolves it. A callback that arrives before the answer
to its own send is deferred until that answer is recorded, so that the two cannot undo each other.

A callback that the sandbox signed applies only to messages that went to the sandbox and to the demo workspace's
contacts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import dramatiq
import structlog
from dramatiq.errors import BrokerConnectionError

import clock
from ephemeral.connection import ERRORS as REDIS_ERRORS
from models import (
    contact_lookup,
    contact_matching,
    conversation,
    execution,
    follow_up,
    inbound_event,
    message,
    suppression,
    workspace,
)
from models.database import Row, db, transaction
from providers.base import Callback
from providers.registry import EVENT_READERS
from rules.channels import CHANNELS, CONVERSATION_CHANNELS
from rules.definition import REPLIED
from tasks.intake import meta_events
from tasks.intake.callback_moves import update_message_status
from tasks.runtime.notifications import enqueue_actor, notify_after_commit

log = structlog.get_logger(__name__)

#: Kinds that suppress the contact, with the reason that is recorded.
SUPPRESSION_REASONS = {"bounced": "bounced", "complained": "complained", "unsubscribed": "unsubscribed"}
#: The channel on which each provider receives messages from contacts.
INBOUND_CHANNELS = {channel.provider: channel.name for channel in CHANNELS.values() if channel.contact_field}
#: No provider reports an event later than this: Meta retries longest, for 36 hours. An older callback is a replay or
#: has a wrong time, so its time of receipt counts.
MAX_CALLBACK_AGE = timedelta(days=2)
#: Delay of a callback that arrives before the answer to its send, in ms.
DEFER_DELAY_MS = 500


@dramatiq.actor(actor_name="process_event", queue_name="tracking", max_retries=0)
def process_event(row_id: str) -> None:
    """Process one callback, once."""
    with transaction():
        event = inbound_event.take(row_id)
        if event is None:
            return
        callback = EVENT_READERS[event["provider"]](event["body"])
        message_row = _find_message(callback) if callback else None
        if message_row is not None and event["sandbox"] and not message_row["sandbox"]:
            inbound_event.finish(row_id, meta_events.NOT_IN_SANDBOX, None)
            return
        if message_row is not None and message_row["status"] == "sending":
            db.after_commit(lambda: _defer(row_id))
            return
        outcome, workspace_id = _dispatch(event, callback, message_row) if callback else ("ignored", None)
        if outcome == meta_events.UNKNOWN_ACCOUNT:
            inbound_event.drop(row_id)
        else:
            inbound_event.finish(row_id, outcome, workspace_id)
    log.info("callback processed", provider=event["provider"], event_id=event["event_id"], outcome=outcome)


@dramatiq.actor(actor_name="process_events", queue_name="tracking", max_retries=0)
def process_events(*row_ids: str) -> None:
    """Process callbacks that arrived together, in their order. If one fails, the others are enqueued again."""
    for index, row_id in enumerate(row_ids):
        try:
            process_event(row_id)
        except Exception:
            if remaining := row_ids[index + 1 :]:
                enqueue_actor("tracking", "process_events", *remaining)
            raise


def _find_message(callback: Callback) -> Row | None:
    """Return our message that the callback is about, or answers; None for contacts' messages on Meta's channels."""
    is_meta = callback.provider in CONVERSATION_CHANNELS
    if is_meta and callback.kind not in meta_events.OWN_MESSAGE_KINDS:
        return None
    message_row = message.find(callback.provider, callback.provider_message_id, callback.message_key)
    return (
        meta_events.find_echoed_message(callback)
        if is_meta and message_row is None and callback.kind == "echo"
        else message_row
    )


def _dispatch(event: Row, callback: Callback, message_row: Row | None) -> tuple[str, str | None]:
    if callback.provider in CONVERSATION_CHANNELS:
        at = resolve_occurred_at(callback.occurred_at, event["received_at"])
        return meta_events.read(callback, message_row, at, from_sandbox=event["sandbox"])
    return _apply_delivery_event(event, callback, message_row)


def _defer(row_id: str) -> None:
    try:
        process_event.send_with_options(args=(row_id,), delay=DEFER_DELAY_MS)
    except (BrokerConnectionError, *REDIS_ERRORS) as error:
        log.warning("redis is unreachable, the sweep will notify", queue="tracking", error=str(error))


def _apply_delivery_event(event: Row, callback: Callback, message_row: Row | None) -> tuple[str, str | None]:
    if message_row is not None and event["workspace_id"] not in (None, message_row["workspace_id"]):
        return "another workspace's message", None
    if callback.kind in ("replied", "unsubscribed") and message_row is None:
        return _receive_from_contact(event, callback)
    if message_row is None:
        return "unknown message", None
    update_message_status(message_row, callback)
    if event["sandbox"] and not workspace.is_demo(message_row["workspace_id"]):
        # A test execution's message concerns only that test and changes nothing about the contact.
        if callback.kind == "replied" and message_row["contact_id"]:
            _wake(message_row["contact_id"], tests_only=True)
        return callback.kind, message_row["workspace_id"]
    if callback.kind in SUPPRESSION_REASONS and (callback.kind != "bounced" or callback.permanent):
        suppression.add_for_message(message_row, SUPPRESSION_REASONS[callback.kind])
        if message_row["contact_id"]:
            notify_after_commit(follow_up.wake(message_row["contact_id"]))
    if callback.kind == "replied" and message_row["contact_id"]:
        _record_received(event, callback, message_row["workspace_id"], message_row["contact_id"])
        _wake(message_row["contact_id"])
    return callback.kind, message_row["workspace_id"]


def _receive_from_contact(event: Row, callback: Callback) -> tuple[str, str | None]:
    """Apply a message of a contact, found by address in the path's workspace or that of our last message to it."""
    channel = INBOUND_CHANNELS[callback.provider]
    contact = contact_lookup.find_by_address(
        channel, callback.address or "", event["workspace_id"], demo_only=event["sandbox"]
    )
    if contact is None:
        return "unknown sender", None
    if callback.kind == "unsubscribed":
        suppression.add_for_message(
            {
                "contact_id": contact["id"],
                "test": False,
                "workspace_id": contact["workspace_id"],
                "channel": channel,
                "to_address": callback.address,
            },
            "unsubscribed",
        )
    contact_matching.note_event([contact["id"]])
    _record_received(event, callback, contact["workspace_id"], contact["id"])
    _wake(contact["id"])
    return callback.kind, contact["workspace_id"]


def _record_received(event: Row, callback: Callback, workspace_id: str, contact_id: str) -> None:
    """Add the contact's message to the conversation."""
    conversation.record_received(
        workspace_id,
        contact_id,
        INBOUND_CHANNELS[callback.provider],
        str(callback.detail.get("messageId") or callback.event_id),
        kind="message",
        text=callback.text,
        at=resolve_occurred_at(callback.occurred_at, event["received_at"]),
    )


def resolve_occurred_at(occurred_at: datetime, received_at: datetime) -> datetime:
    """Return when it happened, in the application's time: the provider's time where it is plausible."""
    shifted = clock.shift(occurred_at)
    return shifted if received_at - MAX_CALLBACK_AGE <= shifted <= received_at else received_at


def _wake(contact_id: str, *, tests_only: bool = False) -> None:
    notify_after_commit(execution.wake_for_events([(contact_id, REPLIED)], tests_only=tests_only))
