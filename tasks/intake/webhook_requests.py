"""Stores what providers' webhooks bring: the requests of one moment share one commit, before each is answered.

The tracking program processes the stored events (`tasks/intake/callbacks.py`). Each request gets the answer that it
would get by itself: where a group waits for a lock, or PostgreSQL refuses what one of its requests brought, each of
them is stored apart, so that none is held up or spoiled by another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg2.errors import DeadlockDetected, LockNotAvailable, ProgramLimitExceeded, StatementTooComplex

import metrics
from models import inbound_event
from models.database import CONNECTION_ERRORS, unwrap_driver_error
from models.engine.group_door import GroupDoor
from models.inbound_event import Outcome, StoredRequest, WebhookRequest
from tasks.runtime.notifications import enqueue_actor

#: How long a group waits for a lock. A request that is stored apart waits as long as it would alone.
LOCK_TIMEOUT_MS = 50
#: Events per message, processed in sequence: a message for each would take longer than storing them.
EVENTS_PER_MESSAGE = 50

#: Errors of one request, or of a lock, that psycopg2 takes for errors of the server.
_ERRORS_OF_ONE = (DeadlockDetected, LockNotAvailable, ProgramLimitExceeded, StatementTooComplex)


@dataclass(frozen=True)
class _Settled:
    """What a group made of one request, None where it is stored apart.

    The first of a group notifies for all, in its own thread, so that a slow Redis holds up no other.
    """

    stored: StoredRequest | None
    notified_ids: Sequence[str] = ()


def accept(request: WebhookRequest) -> Outcome:
    """Store what a request brought, once, and notify; return what became of it. It is durable when this returns.

    Raises the database's connection errors while PostgreSQL is unavailable or too much is waiting.
    """
    settled = _door.submit(request)
    stored, new_ids = settled.stored, settled.notified_ids
    if stored is None:
        (stored,) = inbound_event.store([request])
        new_ids = stored.stored_ids
    _notify(new_ids)
    _count(request, stored)
    return stored.outcome


def _store(requests: list[WebhookRequest]) -> list[_Settled]:
    try:
        stored = inbound_event.store(requests, LOCK_TIMEOUT_MS)
    except CONNECTION_ERRORS as error:
        if not isinstance(unwrap_driver_error(error), _ERRORS_OF_ONE):
            raise
        return [_Settled(None)] * len(requests)
    new_ids = [row_id for request in stored for row_id in request.stored_ids]
    return [_Settled(request, () if index else new_ids) for index, request in enumerate(stored)]


def _notify(row_ids: Sequence[str]) -> None:
    for first in range(0, len(row_ids), EVENTS_PER_MESSAGE):
        enqueue_actor("tracking", "process_events", *row_ids[first : first + EVENTS_PER_MESSAGE])


def _count(request: WebhookRequest, stored: StoredRequest) -> None:
    if stored.outcome != "stored":
        return
    new_count = len(stored.stored_ids)
    metrics.triggers_total.labels(source="webhook", result="accepted").inc(new_count)
    metrics.triggers_total.labels(source="webhook", result="duplicate").inc(request.event_count - new_count)


_door = GroupDoor(_store, measure=lambda request: request.size)
