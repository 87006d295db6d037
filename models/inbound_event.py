"""What providers told us, raw: stored once for each of their event ids before they are answered, read by an actor."""

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
    """Keep many callbacks, each an event id with its body, in one statement; ids of rows, and how many were new.

    Which of them were new cannot be told without reading: the ids of those that were not are nobody's.
    """
    ids = [new_id() for _ in events]
    records = [
        {"id": row_id, "event_id": event_id, "body": body} for row_id, (event_id, body) in zip(ids, events, strict=True)
    ]
    with transaction():
        stored = execute(
            "insert into inbound_events (id, provider, event_id, body, sandbox) select id, %s, event_id, body, %s "
            "from json_to_recordset(%s::json) as given(id uuid, event_id text, body jsonb) on conflict do nothing",
            (provider, sandbox, dump_json(records)),
        )
    return ids, stored


def store(
    provider: str, event_id: str, workspace_id: str | None, body: Mapping[str, Any], *, sandbox: bool = False
) -> str | None:
    """Keep one callback; its row's id, or None when this event was told before. `sandbox`: the sandbox signed it."""
    row_id = new_id()
    with transaction():
        # Without RETURNING: the door may write these rows and not read them.
        stored = execute(
            "insert into inbound_events (id, provider, event_id, workspace_id, body, sandbox) "
            "values (%s, %s, %s, %s, %s, %s) "
            "on conflict do nothing",
            (row_id, provider, event_id, workspace_id, Json(dict(body)), sandbox),
        )
    return row_id if stored else None


def take(row_id: str) -> Row | None:
    """One callback that was not read yet, locked until the transaction ends."""
    return fetch_row(
        "select * from inbound_events where id = %s and processed_at is null for update skip locked", (row_id,)
    )


def finish(row_id: str, outcome: str, workspace_id: str | None) -> None:
    """It was read: what came of it, in a word, and whose it was."""
    execute(
        "update inbound_events set processed_at = beckon_now(), outcome = %s, "
        "workspace_id = coalesce(workspace_id, %s) where id = %s",
        (outcome, workspace_id, row_id),
    )


def forget(provider: str, event_ids: Sequence[str], *, sandbox: bool) -> None:
    """Keep no longer what these said, only that they were told: they still change nothing when they come again."""
    execute(
        "update inbound_events set body = '{}' where provider = %s and event_id = any(%s) and sandbox = %s",
        (provider, list(event_ids), sandbox),
    )


def drop(row_id: str) -> None:
    """It is nobody's: keep nothing of it."""
    execute("delete from inbound_events where id = %s", (row_id,))


def list_unprocessed(older_than_seconds: float, limit: int) -> list[str]:
    """Callbacks that nobody has read for a while."""
    rows = fetch_rows(
        "select id from inbound_events where processed_at is null "
        "and received_at < beckon_now() - make_interval(secs => %s) order by received_at limit %s",
        (older_than_seconds, limit),
    )
    return [row["id"] for row in rows]
