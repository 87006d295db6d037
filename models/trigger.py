"""Inserts accepted triggers with their executions, and stores the response of each idempotency key.

A batch takes two round trips, inside the caller's transaction; the first one may read the contacts, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import psycopg2

from models import contact_matching, execution
from models.contact_matching import MatchedRow
from models.database import CONNECTION_ERRORS, unwrap_driver_error
from models.engine.rows import DueRow
from models.expressions import acting_workspace
from models.prepared import Call, PreparedStatement
from models.queries import execute, execute_together, fetch_together
from models.tables import IdempotencyKey
from rules.json_text import dump_storable_json
from rules.stages import Queue

#: Keys to reserve: for each the hash of its body, and the id of its new trigger.
Reservations = Mapping[str, tuple[bytes, str]]
#: How long a key is stored.
KEY_LIFETIME = "24 hours"
#: How long to wait for a request with the same key that is still being accepted.
MAX_WAIT_SECONDS = 5


# Written by hand: one statement takes a whole batch of any size, as JSON. Peewee's insertion of the same rows would
# send and parse a parameter for each column of each row.
_RESERVE_KEYS = PreparedStatement(
    "reserve_keys",
    (
        "uuid",
        "json",
        "interval",
    ),
    """
    insert into idempotency_keys as k (workspace_id, key, body_hash, trigger_id, created_at)
    select %s::uuid, input.key, decode(input.hash, 'hex'), input.trigger_id, beckon_now()
    from json_to_recordset(%s::json) as input(key text, hash text, trigger_id uuid) order by input.key
    on conflict (workspace_id, key) do update
        set body_hash = excluded.body_hash, trigger_id = excluded.trigger_id, created_at = excluded.created_at
        where k.created_at < beckon_now() - %s::interval
""",
)
# Each key by itself through the primary key, and its trigger likewise, whatever the statistics say. A statement of the
# same message sees what the one before it inserted.
_FIND_USES = PreparedStatement(
    "find_key_uses",
    ("text[]",),
    """
    select k.key, encode(k.body_hash, 'hex') as body_hash, k.trigger_id,
        (select t.answer from triggers t where t.id = k.trigger_id offset 0) as answer
    from unnest(%s::text[]) as wanted (key)
    cross join lateral (
        select u.key, u.body_hash, u.trigger_id from idempotency_keys u
        where u.workspace_id = acting_workspace() and u.key = wanted.key offset 0
    ) k
""",
)
# One statement, because only the last of a message returns its rows; the contacts are read under the same locks.
_AS_JSON = """
    select (select json_agg(use) from ({uses}) use) as uses,
        (select json_agg(contact) from ({contacts}) contact) as contacts
"""
_FIND_USES_AND_CONTACTS = PreparedStatement(
    "find_key_uses_and_contacts",
    (*_FIND_USES.types, *contact_matching.READ.types),
    _AS_JSON.format(uses=_FIND_USES.sql, contacts=contact_matching.READ.sql),
)
_SET_LOCK_TIMEOUT = "select set_config('lock_timeout', %s, true)"
_INSERT_TRIGGERS = PreparedStatement(
    "insert_triggers",
    (
        "uuid",
        "json",
    ),
    """
    insert into triggers (id, workspace_id, type, source, contact_id, payload, test, idempotency_key, answer,
        loop_depth)
    select id, %s::uuid, type, source, contact_id, payload, test, idempotency_key, answer, loop_depth
    from json_to_recordset(%s::json) as input(id uuid, type text, source text, contact_id uuid, payload jsonb,
        test boolean, idempotency_key text, answer jsonb, loop_depth integer)
""",
)
_INSERT_EXECUTIONS = PreparedStatement(
    "insert_executions",
    (
        "uuid",
        "json",
    ),
    """
    insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, contact_id, test,
        queue, stage_since, rung_at, due_at, created_at)
    select id, %s::uuid, automation_id, version_id, version, trigger_id, contact_id, test, queue,
        beckon_now(), beckon_now(), beckon_now(), beckon_now()
    from json_to_recordset(%s::json) as input(id uuid, automation_id uuid, version_id uuid, version integer,
        trigger_id uuid, contact_id uuid, test boolean, queue text)
""",
)


class KeyBusy(Exception):
    """A request with the same idempotency key is still being accepted."""


class _UseRow(TypedDict):
    key: str
    #: In hexadecimal.
    body_hash: str
    trigger_id: str
    answer: dict[str, Any] | None


class _UsesAndContacts(TypedDict):
    uses: list[_UseRow] | None
    contacts: list[MatchedRow] | None


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
    loop_depth: int | None = None


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
    queue: Queue


def reserve_idempotency_keys(workspace_id: str, keys: Reservations) -> dict[str, KeyUse | None]:
    """Reserve each key that was not used in the last 24 hours; return the first uses of the others, None for one that
    has just ended.

    Waits at most `MAX_WAIT_SECONDS` for a transaction that is reserving the same key, then raises `KeyBusy`.
    """
    if not keys:
        return {}
    limit, unlimited = ((_SET_LOCK_TIMEOUT, (timeout,)) for timeout in (f"{MAX_WAIT_SECONDS}s", "0"))
    calls: list[Call] = [limit, _build_reservation(workspace_id, keys), unlimited, (_FIND_USES, (list(keys),))]
    try:
        return _list_uses(keys, fetch_together(_UseRow, calls))
    except CONNECTION_ERRORS as error:
        if isinstance(unwrap_driver_error(error), psycopg2.errors.LockNotAvailable):
            raise KeyBusy from error
        raise


def reserve_and_read(
    workspace_id: str, keys: Reservations, contact_read: Call | None
) -> tuple[dict[str, KeyUse | None], list[MatchedRow]]:
    """Reserve keys as `reserve_idempotency_keys` does, and read contacts (`contact_matching.build_read`), in one round
    trip. Waits for locks as long as the transaction does."""
    if contact_read is None and not keys:
        return {}, []
    if contact_read is None:
        calls = [_build_reservation(workspace_id, keys), (_FIND_USES, (list(keys),))]
        return _list_uses(keys, fetch_together(_UseRow, calls)), []
    if not keys:
        return {}, fetch_together(MatchedRow, [contact_read])
    read = (_FIND_USES_AND_CONTACTS, (list(keys), *contact_read[1]))
    (row,) = fetch_together(_UsesAndContacts, [_build_reservation(workspace_id, keys), read])
    return _list_uses(keys, row["uses"] or []), row["contacts"] or []


def _build_reservation(workspace_id: str, keys: Reservations) -> Call:
    entries = [
        {"key": key, "hash": body_hash.hex(), "trigger_id": trigger_id} for key, (body_hash, trigger_id) in keys.items()
    ]
    return _RESERVE_KEYS, (workspace_id, dump_storable_json(entries), KEY_LIFETIME)


def _list_uses(keys: Reservations, rows: Sequence[_UseRow]) -> dict[str, KeyUse | None]:
    """The uses of the keys that another trigger reserved."""
    by_key = {row["key"]: row for row in rows}
    return {
        key: _build_use(by_key.get(key))
        for key, (_, trigger_id) in keys.items()
        if key not in by_key or by_key[key]["trigger_id"] != trigger_id
    }


def _build_use(row: _UseRow | None) -> KeyUse | None:
    if row is None or row["answer"] is None:
        return None
    return KeyUse(bytes.fromhex(row["body_hash"]), row["trigger_id"], row["answer"])


def release_keys(keys: Sequence[str]) -> None:
    """Release keys whose triggers were rejected."""
    if keys:
        execute(
            IdempotencyKey.delete().where(
                IdempotencyKey.workspace_id == acting_workspace(), IdempotencyKey.key.in_(list(keys))
            )
        )


def insert(
    workspace_id: str,
    triggers: Sequence[NewTrigger],
    executions: Sequence[NewExecution],
    events: Sequence[tuple[str, str]] = (),
    *,
    contact_calls: Sequence[Call] = (),
    commits: bool = False,
) -> list[DueRow]:
    """Insert triggers and their executions, each pending, in stage queued and due at once.

    Makes executions due that wait for one of the events (contact id, type), and returns those; notes the contacts'
    activity. `contact_calls` store the contacts first, in the same round trip, and with `commits` it ends the
    transaction, unless there are events, whose rows are read before.
    """
    calls: list[Call] = [*contact_calls]
    if triggers:
        rows = dump_storable_json([vars(accepted) for accepted in triggers])
        calls.append((_INSERT_TRIGGERS, (workspace_id, rows)))
    if executions:
        rows = dump_storable_json([vars(started) for started in executions])
        calls.append((_INSERT_EXECUTIONS, (workspace_id, rows)))
    if not calls:
        return []
    if not events:
        execute_together(calls, commits=commits)
        return []
    note = contact_matching.build_note(sorted({contact_id for contact_id, _ in events}))
    return fetch_together(DueRow, [*calls, note, execution.build_wake(events)])
