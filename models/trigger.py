"""Inserts accepted triggers with their executions, and stores the response of each idempotency key.

A batch takes a handful of statements, inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.extras import Json

from models.database import CONNECTION_ERRORS, execute, fetch_rows, fetch_value, unwrap_driver_error

#: How long a key is stored.
KEY_LIFETIME = "24 hours"
#: How long to wait for a request with the same key that is still being accepted.
MAX_WAIT_SECONDS = 5


class KeyBusy(Exception):
    """A request with the same idempotency key is still being accepted."""


@dataclass(frozen=True)
class KeyUse:
    """The first use of an idempotency key."""

    body_hash: bytes
    trigger_id: str
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class NewTrigger:
    """One accepted trigger; `answer` is the response to a repeated request with its key."""

    id: str
    type: str
    source: str
    contact_id: str | None
    payload: Mapping[str, Any]
    test: bool
    idempotency_key: str | None
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class NewExecution:
    """One execution to start; `queue` is the queue of its first provider call."""

    id: str
    automation_id: str
    version_id: str
    version: int
    trigger_id: str
    contact_id: str | None
    test: bool
    queue: str


def reserve_keys(workspace_id: str, keys: Mapping[str, tuple[bytes, str]]) -> set[str]:
    """Reserve each key (hash of the body, id of the new trigger) not used in the last 24 hours; return those reserved.

    Waits at most `MAX_WAIT_SECONDS` for a transaction that is reserving the same key, then raises `KeyBusy`.
    """
    if not keys:
        return set()
    entries = [
        {"key": key, "hash": body_hash.hex(), "trigger_id": trigger_id} for key, (body_hash, trigger_id) in keys.items()
    ]
    fetch_value("select set_config('lock_timeout', %s, true)", (f"{MAX_WAIT_SECONDS}s",))
    try:
        reserved = fetch_rows(
            f"""
            insert into idempotency_keys as k (workspace_id, key, body_hash, trigger_id, created_at)
            select %s::uuid, input.key, decode(input.hash, 'hex'), input.trigger_id, beckon_now()
            from json_to_recordset(%s::json) as input(key text, hash text, trigger_id uuid) order by input.key
            on conflict (workspace_id, key) do update
                set body_hash = excluded.body_hash, trigger_id = excluded.trigger_id, created_at = excluded.created_at
                where k.created_at < beckon_now() - interval '{KEY_LIFETIME}'
            returning key
            """,
            (workspace_id, json.dumps(entries)),
        )
    except CONNECTION_ERRORS as error:
        if isinstance(unwrap_driver_error(error), psycopg2.errors.LockNotAvailable):
            raise KeyBusy from error
        raise
    fetch_value("select set_config('lock_timeout', '0', true)")
    return {row["key"] for row in reserved}


def find_uses(keys: Iterable[str]) -> dict[str, KeyUse]:
    """Return the first use of each of the acting workspace's keys."""
    rows = fetch_rows(
        "select k.key, k.body_hash, k.trigger_id, t.answer from idempotency_keys k "
        "join triggers t on t.id = k.trigger_id where k.workspace_id = acting_workspace() and k.key = any(%s)",
        (list(keys),),
    )
    return {row["key"]: KeyUse(bytes(row["body_hash"]), row["trigger_id"], row["answer"]) for row in rows}


def release_keys(keys: Sequence[str]) -> None:
    """Release keys whose triggers were rejected."""
    if keys:
        execute("delete from idempotency_keys where workspace_id = acting_workspace() and key = any(%s)", (list(keys),))


def insert(workspace_id: str, triggers: Sequence[NewTrigger], executions: Sequence[NewExecution]) -> None:
    """Insert triggers and their executions, each pending, in stage queued and due at once."""
    execute(
        """
        insert into triggers (id, workspace_id, type, source, contact_id, payload, test, idempotency_key, answer)
        select id, %s::uuid, type, source, contact_id, payload, test, idempotency_key, answer
        from json_to_recordset(%s::json) as input(id uuid, type text, source text, contact_id uuid, payload jsonb,
            test boolean, idempotency_key text, answer jsonb)
        """,
        (workspace_id, Json([vars(trigger) for trigger in triggers])),
    )
    if not executions:
        return
    execute(
        """
        insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, contact_id, test,
            queue, stage_since, rung_at, due_at, created_at)
        select id, %s::uuid, automation_id, version_id, version, trigger_id, contact_id, test, queue,
            beckon_now(), beckon_now(), beckon_now(), beckon_now()
        from json_to_recordset(%s::json) as input(id uuid, automation_id uuid, version_id uuid, version integer,
            trigger_id uuid, contact_id uuid, test boolean, queue text)
        """,
        (workspace_id, Json([vars(execution) for execution in executions])),
    )
