"""Raw provider callbacks, stored once for each event id before the response, and processed by an actor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2.extras import Json

from models.database import Row, execute, fetch_row, fetch_rows, transaction
from models.ids import new_id
from models.json_text import dump_json


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
        stored = execute(
            "insert into inbound_events (id, provider, event_id, body, sandbox) select id, %s, event_id, body, %s "
            "from json_to_recordset(%s::json) as input(id uuid, event_id text, body jsonb) on conflict do nothing",
            (provider, sandbox, dump_json(records)),
        )
    return ids, stored


def store(
    provider: str, event_id: str, workspace_id: str | None, body: Mapping[str, Any], *, sandbox: bool = False
) -> str | None:
    """Store one callback; return its row's id, or None for a duplicate event. `sandbox`: the sandbox signed it."""
    row_id = new_id()
    with transaction():
        # Without RETURNING: the dashboard's role may insert these rows but not read them.
        stored = execute(
            "insert into inbound_events (id, provider, event_id, workspace_id, body, sandbox) "
            "values (%s, %s, %s, %s, %s, %s) "
            "on conflict do nothing",
            (row_id, provider, event_id, workspace_id, Json(dict(body)), sandbox),
        )
    return row_id if stored else None


def take(row_id: str) -> Row | None:
    """Return one unprocessed callback, locked until the transaction ends."""
    return fetch_row(
        "select * from inbound_events where id = %s and processed_at is null for update skip locked", (row_id,)
    )


def finish(row_id: str, outcome: str, workspace_id: str | None) -> None:
    """Mark a callback as processed, with a one-word outcome and its workspace."""
    execute(
        "update inbound_events set processed_at = beckon_now(), outcome = %s, "
        "workspace_id = coalesce(workspace_id, %s) where id = %s",
        (outcome, workspace_id, row_id),
    )


def forget(provider: str, event_ids: Sequence[str], *, sandbox: bool) -> None:
    """Erase the bodies of these callbacks; their event ids stay, so duplicates still change nothing."""
    execute(
        "update inbound_events set body = '{}' where provider = %s and event_id = any(%s) and sandbox = %s",
        (provider, list(event_ids), sandbox),
    )


def drop(row_id: str) -> None:
    """Delete a callback that belongs to no workspace."""
    execute("delete from inbound_events where id = %s", (row_id,))


def list_unprocessed(older_than_seconds: float, limit: int) -> list[str]:
    """Return the ids of callbacks that are unprocessed for a while."""
    rows = fetch_rows(
        "select id from inbound_events where processed_at is null "
        "and received_at < beckon_now() - make_interval(secs => %s) order by received_at limit %s",
        (older_than_seconds, limit),
    )
    return [row["id"] for row in rows]
