"""Reads a stored callback of a provider: moves the message on, suppresses who must not be written to, wakes who waits.

Callbacks come twice, late and out of order; each is read once, a message's status only moves forward, and a callback
for a message of unknown outcome settles it (semantics, section 4). One that is quicker than the answer to the send
itself is put off until that answer is on record, so that the two cannot undo each other.

What the sandbox signed concerns messages that went to the sandbox, and people of the demo workspace alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

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
    workspace,
)
from models.database import Row, db, transaction
from providers import mailgun, meta_callbacks, telnyx
from providers.base import Callback
from tasks import inbound_meta
from tasks.bells import call, ring_after_commit
from tasks.callback_moves import move
from tasks.follow_ups import REPLIED

log = structlog.get_logger(__name__)

#: Reads a provider's body into a callback, or None for an event that is of no concern.
READERS: Mapping[str, Callable[[Mapping[str, Any]], Callback | None]] = {
    "mailgun": mailgun.read_event,
    "mailgun_inbound": mailgun.read_inbound,
    "telnyx": telnyx.read_event,
    "facebook": meta_callbacks.read_event,
    "instagram": meta_callbacks.read_event,
}
#: Kinds that forbid writing again, with the reason that is noted.
SUPPRESSES = {"bounced": "bounced", "complained": "complained", "unsubscribed": "unsubscribed"}
#: The channel on which each provider hears contacts.
HEARS = {"mailgun": "email", "telnyx": "sms"}
#: No provider tells of anything as late as this (Meta, the most patient, tries for 36 hours): a callback that is older
#: is a recorded one or bears a wrong time, and counts as of the moment it came.
LATEST = timedelta(days=2)
#: How long a callback waits that came before the answer to its send.
PUT_OFF_MS = 500


@dramatiq.actor(actor_name="process_event", queue_name="tracking", max_retries=0)
def process_event(row_id: str) -> None:
    """Read one callback, once."""
    with transaction():
        stored = inbound_event.take(row_id)
        if stored is None:
            return
        callback = READERS[stored["provider"]](stored["body"])
        found = _message_of(callback) if callback else None
        if found is not None and stored["sandbox"] and not found["sandbox"]:
            inbound_event.finish(row_id, inbound_meta.NOT_OF_THE_SANDBOX, None)
            return
        if found is not None and found["status"] == "sending":
            db.after_commit(lambda: _put_off(row_id))
            return
        outcome, workspace_id = _read(stored, callback, found) if callback else ("ignored", None)
        if outcome == inbound_meta.UNKNOWN_ACCOUNT:
            inbound_event.drop(row_id)
        else:
            inbound_event.finish(row_id, outcome, workspace_id)
    log.info("callback read", provider=stored["provider"], event_id=stored["event_id"], outcome=outcome)


@dramatiq.actor(actor_name="process_events", queue_name="tracking", max_retries=0)
def process_events(*row_ids: str) -> None:
    """Read callbacks that came together, in their order. One that fails keeps nobody from the others."""
    for place, row_id in enumerate(row_ids):
        try:
            process_event(row_id)
        except Exception:
            if rest := row_ids[place + 1 :]:
                call("tracking", "process_events", *rest)
            raise


def _message_of(callback: Callback) -> Row | None:
    """Our message that the callback is about, or answers; what people say to Meta's channels is about none."""
    is_meta = callback.provider in inbound_meta.CHANNELS
    if is_meta and callback.kind not in inbound_meta.ABOUT_OURS:
        return None
    found = message.find(callback.provider, callback.provider_message_id, callback.message_key)
    return inbound_meta.echoed(callback) if is_meta and found is None and callback.kind == "echo" else found


def _read(stored: Row, callback: Callback, found: Row | None) -> tuple[str, str | None]:
    if callback.provider in inbound_meta.CHANNELS:
        at = heard_at(callback.occurred_at, stored["received_at"])
        return inbound_meta.read(callback, found, at, from_sandbox=stored["sandbox"])
    return _apply(stored, callback, found)


def _put_off(row_id: str) -> None:
    try:
        process_event.send_with_options(args=(row_id,), delay=PUT_OFF_MS)
    except (BrokerConnectionError, *REDIS_ERRORS) as error:
        log.warning("redis is away, the sweep will ring", queue="tracking", error=str(error))


def _apply(stored: Row, callback: Callback, found: Row | None) -> tuple[str, str | None]:
    if found is not None and stored["workspace_id"] not in (None, found["workspace_id"]):
        return "another workspace's message", None
    if callback.kind in ("replied", "unsubscribed") and found is None:
        return _heard(stored, callback)
    if found is None:
        return "unknown message", None
    move(found, callback)
    if stored["sandbox"] and not workspace.is_demo(found["workspace_id"]):
        # A test execution's message: it concerns that test, and changes nothing of the contact.
        if callback.kind == "replied" and found["contact_id"]:
            _wake(found["contact_id"], tests_only=True)
        return callback.kind, found["workspace_id"]
    if callback.kind in SUPPRESSES and (callback.kind != "bounced" or callback.permanent):
        message.suppress(found, SUPPRESSES[callback.kind])
        if found["contact_id"]:
            ring_after_commit(follow_up.wake(found["contact_id"]))
    if callback.kind == "replied" and found["contact_id"]:
        _keep(stored, callback, found["workspace_id"], found["contact_id"])
        _wake(found["contact_id"])
    return callback.kind, found["workspace_id"]


def _heard(stored: Row, callback: Callback) -> tuple[str, str | None]:
    """A contact wrote to us: found by the address, in the workspace of the path or of our last message to it."""
    channel = HEARS[callback.provider]
    contact = contact_lookup.who_wrote(
        channel, callback.address or "", stored["workspace_id"], demo_only=stored["sandbox"]
    )
    if contact is None:
        return "unknown sender", None
    if callback.kind == "unsubscribed":
        message.suppress(
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
    _keep(stored, callback, contact["workspace_id"], contact["id"])
    _wake(contact["id"])
    return callback.kind, contact["workspace_id"]


def _keep(stored: Row, callback: Callback, workspace_id: str, contact_id: str) -> None:
    """What the contact wrote is part of the conversation."""
    conversation.record_received(
        workspace_id,
        contact_id,
        HEARS[callback.provider],
        str(callback.detail.get("messageId") or callback.event_id),
        kind="message",
        text=callback.text,
        at=heard_at(callback.occurred_at, stored["received_at"]),
    )


def heard_at(occurred_at: datetime, received_at: datetime) -> datetime:
    """When it happened, in the application's time: as the provider says, if that can be."""
    told = clock.shifted(occurred_at)
    return told if received_at - LATEST <= told <= received_at else received_at


def _wake(contact_id: str, *, tests_only: bool = False) -> None:
    ring_after_commit(execution.wake_for_events([(contact_id, REPLIED)], tests_only=tests_only))
