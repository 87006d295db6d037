"""Processes a provider's stored callback: takes it, has the provider's reader apply it, and records the outcome.

Callbacks arrive twice, late and out of order. Each is processed once, a message's status only moves forward, and a
callback for a message of unknown outcome resolves it. A callback that arrives before the answer to its own send is
deferred until that answer is recorded, so that the two cannot undo each other.

A callback that the sandbox signed applies only to messages that went to the sandbox and to the demo workspace's
contacts.

Calls go one way, from here to the readers and on:

    callbacks > delivery_events (e-mail, SMS)                             > callback_moves
              > erased_messages (of contacts that were erased)              > callback_moves
              > meta_events (Facebook, Instagram)                         > callback_moves
                  > meta_contact_events (what a person says or does)      > callback_moves, triggers
"""

from __future__ import annotations

from datetime import datetime, timedelta

import dramatiq
import structlog

import clock
from models import inbound_event, message
from models.database import db, transaction
from models.engine.rows import StoredMessageRow
from models.inbound_event import InboundEventRow
from providers.base import Callback
from providers.registry import PROVIDERS, ReadEvent
from rules.channels import CONVERSATION_CHANNELS
from tasks.intake.delivery_events import DeliveryEventReader
from tasks.intake.erased_messages import apply_to_erased, is_erased
from tasks.intake.event_readers import NOT_IN_SANDBOX, EventReader, Outcome, ReceivedEvent
from tasks.intake.meta_events import MetaEventReader
from tasks.runtime.broker import BROKER_ERRORS, report_lost_notifications
from tasks.runtime.notifications import enqueue_actor

log = structlog.get_logger(__name__)

#: No provider reports an event later than this: Meta retries longest, for 36 hours. An older callback is a replay or
#: has a wrong time, so its time of receipt counts.
MAX_CALLBACK_AGE = timedelta(days=2)
#: Delay of a callback that arrives before the answer to its send, in ms.
DEFER_DELAY_MS = 500


def _build_reader(provider: str, read: ReadEvent) -> EventReader:
    return MetaEventReader(read) if provider in CONVERSATION_CHANNELS else DeliveryEventReader(read)


#: The reader of each source of events.
READERS: dict[str, EventReader] = {
    source: _build_reader(provider.name, read)
    for provider in PROVIDERS.values()
    for source, read in provider.event_sources.items()
}


@dramatiq.actor(actor_name="process_event", queue_name="tracking", max_retries=0)
def process_event(row_id: str) -> None:
    """Process one callback, once."""
    with transaction():
        row = inbound_event.take(row_id)
        if row is None:
            return
        outcome = _apply(row)
        if outcome is None:
            db.after_commit(lambda: _defer(row_id))
            return
        if outcome.is_kept:
            inbound_event.finish(row_id, outcome.text, outcome.workspace_id)
            if not outcome.keeps_body:
                inbound_event.erase(row_id)
        else:
            inbound_event.drop(row_id)
    log.info(
        "callback processed", provider=row["provider"], event_id=row["event_id"], workspace_id=outcome.workspace_id,
        outcome=outcome.text,
    )  # fmt: skip


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


def _apply(row: InboundEventRow) -> Outcome | None:
    """Apply a stored event; return None where the answer to its message's send is not recorded yet."""
    reader = READERS[row["provider"]]
    callback = reader.read(row["body"])
    if callback is None:
        return Outcome("ignored")
    at = resolve_occurred_at(callback.occurred_at, row["received_at"])
    message_row = reader.message_of(callback, at, row["workspace_id"])
    if message_row is not None and row["sandbox"] and not message_row["sandbox"]:
        return Outcome(NOT_IN_SANDBOX)
    if message_row is not None and is_erased(message_row):
        return apply_to_erased(message_row, callback, reader.suppression_reason_of(callback))
    if _awaits_answer(reader, callback, message_row, row["received_at"]):
        return None
    return reader.apply(
        ReceivedEvent(callback, message_row, at, row["workspace_id"], row["sandbox"], row["received_at"])
    )


def _awaits_answer(
    reader: EventReader, callback: Callback, message_row: StoredMessageRow | None, received_at: datetime
) -> bool:
    """Whether the event may report on a message whose send has no recorded answer yet.

    An event without our key has the provider's id alone, which that answer brings. Sends that began after the event
    arrived are none of its concern, so it waits for an end.
    """
    if message_row is not None:
        return message_row["status"] == "sending"
    recipient = reader.recipient_of(callback)
    return recipient is not None and message.is_in_flight(recipient, received_at)


def resolve_occurred_at(occurred_at: datetime, received_at: datetime) -> datetime:
    """Return when it happened, in the application's time: the provider's time where it is plausible."""
    shifted = clock.shift(occurred_at)
    return shifted if received_at - MAX_CALLBACK_AGE <= shifted <= received_at else received_at


def _defer(row_id: str) -> None:
    try:
        process_event.send_with_options(args=(row_id,), delay=DEFER_DELAY_MS)
    except BROKER_ERRORS as error:
        report_lost_notifications(1, error, actor="process_event", row_ids=(row_id,))
