"""Raw provider callbacks, stored once for each event id before the response, and processed by an actor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict

from peewee import fn

from models.database import transaction
from models.expressions import now
from models.ids import new_id
from models.queries import execute, fetch_first, fetch_values
from models.tables import InboundEvent
from rules.json_text import dump_storable_json

# By hand: one statement with one parameter for any number of events.
_STORE_ALL = """
    insert into inbound_events (id, provider, event_id, body, sandbox)
    select id, %s, event_id, body, %s from json_to_recordset(%s::json) as input(id uuid, event_id text, body jsonb)
    on conflict do nothing
"""


class InboundEventRow(TypedDict):
    """A stored callback. `sandbox`: the sandbox signed it."""

    provider: str
    event_id: str
    workspace_id: str | None
    body: dict[str, Any]
    received_at: datetime
    sandbox: bool


def store_all(
    provider: str, events: Sequence[tuple[str, Mapping[str, Any]]], *, sandbox: bool = False
) -> tuple[list[str], int]:
    """Store many callbacks, each an event id with its body, in one statement; return row ids, and how many are new.

    The statement does not report which ones are new: ids of duplicates belong to no row.
    """
    ids = [new_id() for _ in events]
    records = [
        {"id": row_id, "event_id": event_id, "body": body} for row_id, (event_id, body) in zip(ids, events, strict=True)
    ]
    with transaction():
        stored = execute(_STORE_ALL, (provider, sandbox, dump_storable_json(records)))
    return ids, stored


def store(
    provider: str, event_id: str, workspace_id: str | None, body: Mapping[str, Any], *, sandbox: bool = False
) -> str | None:
    """Store one callback; return its row's id, or None for a duplicate event. `sandbox`: the sandbox signed it."""
    row_id = new_id()
    # Without RETURNING: the dashboard's role may insert these rows but not read them.
    insertion = InboundEvent.insert(
        id=row_id, provider=provider, event_id=event_id, workspace_id=workspace_id, body=body, sandbox=sandbox
    )
    with transaction():
        stored = execute(insertion.on_conflict_ignore())
    return row_id if stored else None


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
