"""Raw provider callbacks, stored once for each event id before the response, and processed by an actor.

What several requests brought is stored by one statement, written by hand: a function of `beckon_service`, because the
dashboard's role may not read these rows, and needs to know which ones are new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from peewee import fn

from models.database import connection, db
from models.expressions import now
from models.ids import new_id
from models.queries import execute, fetch, fetch_first, fetch_values
from models.tables import InboundEvent
from rules.json_text import dump_json, dump_storable_json

#: Stores requests, with the parameters of `build_store_parameters`.
STORE = "select request, outcome, stored_ids from store_webhooks(%s, %s, %s)"

#: What became of a request: its new events are stored; it is a retry of the same body; its token was consumed by
#: another request; the workspace of its path does not exist.
Outcome = Literal["stored", "repeated", "refused", "missing"]


class InboundEventRow(TypedDict):
    """A stored callback. `sandbox`: the sandbox signed it."""

    provider: str
    event_id: str
    workspace_id: str | None
    body: dict[str, Any]
    received_at: datetime
    sandbox: bool


class Event(TypedDict):
    """One event of a provider. `sandbox`: the sandbox signed it."""

    provider: str
    event_id: str
    sandbox: bool
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Token:
    """The token of a signature that does not cover the body: the first body at one endpoint, `door`, consumes it."""

    text: str
    door: str
    body_hash: bytes


@dataclass(frozen=True)
class WebhookRequest:
    """What one request brought, as JSON: what it is itself, and its events, without the brackets of their list."""

    id: str
    head: str
    events: str
    event_count: int

    @property
    def size(self) -> int:
        """Its characters."""
        return len(self.head) + len(self.events)


@dataclass(frozen=True)
class StoredRequest:
    """What became of a request, and the ids of the rows that it added."""

    request: str
    outcome: Outcome
    stored_ids: list[str]


def build_request(
    events: Sequence[Event], workspace_id: str | None = None, token: Token | None = None
) -> WebhookRequest:
    """Build what a request brought. `workspace_id` is that of its path.

    Characters that PostgreSQL cannot store are removed: after an error the provider would only send them again.
    """
    request_id = new_id()
    head = {
        "id": request_id,
        "workspace_id": workspace_id,
        "token_hash": token and hashlib.sha256(token.text.encode()).hexdigest(),
        "door": token and token.door,
        "body_hash": token and token.body_hash.hex(),
    }
    brought = dump_storable_json([{"request": request_id, "id": new_id(), **event} for event in events])
    return WebhookRequest(request_id, dump_json(head), brought[1:-1], len(events))


def store(requests: Sequence[WebhookRequest], max_wait_ms: int = 0) -> list[StoredRequest]:
    """Store the events of requests in one transaction, in one round trip; return what became of each.

    All is durable on return. Waits for a lock as long as `max_wait_ms` says, 0 without a bound. Raises RuntimeError
    inside a transaction, which could still roll back.
    """
    if db.in_transaction():
        raise RuntimeError("callbacks are stored in a transaction of their own")
    with connection():
        stored = fetch(StoredRequest, STORE, build_store_parameters(requests, max_wait_ms))
    by_id = {row.request: row for row in stored}
    return [by_id[request.id] for request in requests]


def build_store_parameters(requests: Sequence[WebhookRequest], max_wait_ms: int) -> tuple[str, str, int]:
    """Build the parameters of `STORE`."""
    heads = ",".join(request.head for request in requests)
    events = ",".join(request.events for request in requests if request.events)
    return f"[{heads}]", f"[{events}]", max_wait_ms


def take(row_id: str) -> InboundEventRow | None:
    """Return one unprocessed callback, locked until the transaction ends."""
    query = InboundEvent.select(
        InboundEvent.provider,
        InboundEvent.event_id,
        InboundEvent.workspace_id,
        InboundEvent.body,
        InboundEvent.received_at,
        InboundEvent.sandbox,
    ).where(InboundEvent.id == row_id, InboundEvent.processed_at.is_null())
    return fetch_first(InboundEventRow, query.for_update(skip_locked=True))


def finish(row_id: str, outcome: str, workspace_id: str | None) -> None:
    """Mark a callback as processed, with a one-word outcome and its workspace."""
    changes = {
        "processed_at": now(),
        "outcome": outcome,
        "workspace_id": fn.coalesce(InboundEvent.workspace_id, workspace_id),
    }
    execute(InboundEvent.update(changes).where(InboundEvent.id == row_id))


def erase(row_id: str) -> None:
    """Erase the body of a callback; the row stays, so a duplicate still changes nothing."""
    execute(InboundEvent.update(body={}).where(InboundEvent.id == row_id))


def forget(provider: str, event_ids: Sequence[str], *, sandbox: bool) -> None:
    """Erase the bodies of these callbacks; their event ids stay, so duplicates still change nothing."""
    execute(
        InboundEvent.update(body={}).where(
            InboundEvent.provider == provider, InboundEvent.event_id.in_(event_ids), InboundEvent.sandbox == sandbox
        )
    )


def drop(row_id: str) -> None:
    """Delete a callback that belongs to no workspace."""
    execute(InboundEvent.delete().where(InboundEvent.id == row_id))


def list_unprocessed(older_than_seconds: float, limit: int) -> list[str]:
    """Return the ids of callbacks that are unprocessed for a while."""
    received_before = now() - timedelta(seconds=older_than_seconds)
    query = InboundEvent.select(InboundEvent.id).where(
        InboundEvent.processed_at.is_null(), InboundEvent.received_at < received_before
    )
    return fetch_values(query.order_by(InboundEvent.received_at).limit(limit))
