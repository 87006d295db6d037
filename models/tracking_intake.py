"""Accepted executions of playbooks: stored raw before the response, then recorded in batches.

An entry is `{"id", "workspace_id", "site_key_id", "execution_id", "body"}`. Its body has the fields of
`rules.tracking.TrackedExecution`: `workflow_id`, `user_id`, `status`, `execution_time_ms`, `page_url`, `session_id`,
`device_type`, `trigger_name`, and `actions`, each with `name`, `selector`, `execution_time_ms`, `config` and `error`.

The statements are written by hand: each takes hundreds of entries in one round trip, and no row of them becomes an
object of Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import psycopg2
from peewee import fn
from psycopg2 import errors

from models.database import db, transaction, unwrap_driver_error
from models.engine.door_connection import DoorConnection
from models.expressions import now
from models.queries import execute, exists, fetch, fetch_values
from models.tables import TrackingIntake

_STORE = "select store_tracked_executions(%s)"

# The counters move last, after the rows are inserted, so that a busy automation is locked for a short time only; in
# the order of their ids, as the engine's record does.
_RECORD = """
    with taken as materialized (
        select id, workspace_id, site_key_id, execution_id, body, received_at from tracking_intake
        where failed_at is null and (%(ids)s::uuid[] is null or id = any(%(ids)s::uuid[]))
        order by id limit %(limit)s for update skip locked
    ), removed as (
        delete from tracking_intake i where i.id in (select t.id from taken t)
    ), parsed as materialized (
        select t.id, t.workspace_id, t.site_key_id, t.execution_id, t.received_at, x.*
        from taken t cross join lateral json_to_record(t.body) as x(
            workflow_id uuid, user_id text, status text, execution_time_ms integer, page_url text, session_id text,
            device_type text, trigger_name text, actions json)
    ), actions as materialized (
        select p.id as execution, p.workspace_id, p.workflow_id, p.page_url, p.received_at, a.*
        from parsed p cross join lateral rows from (json_to_recordset(p.actions) as (
            name text, selector text, execution_time_ms integer, config jsonb, error text)
        ) with ordinality as a(name, selector, execution_time_ms, config, error, place)
    ), recorded as (
        insert into workflow_executions (id, workspace_id, workflow_id, site_key_id, execution_id, user_id, status,
            execution_time_ms, page_url, page_path, session_id, device_type, trigger_name, action_count,
            failed_actions, executed_at, received_at)
        select p.id, p.workspace_id, p.workflow_id, p.site_key_id, p.execution_id, p.user_id, p.status,
            p.execution_time_ms, p.page_url,
            left(substring(p.page_url from '^(?:[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*)?([^?#]*)'), 500),
            p.session_id, p.device_type, p.trigger_name, coalesce(a.actions, 0), coalesce(a.failed, 0),
            p.received_at, p.received_at
        from parsed p left join (
            select execution, count(*) as actions, count(error) as failed from actions group by execution
        ) a on a.execution = p.id
        returning id, workspace_id, workflow_id, status, received_at
    ), acted as (
        insert into analytics_events (id, workspace_id, workflow_id, workflow_execution_id, event_type, name,
            element_selector, page_url, execution_time_ms, event_data, error, position, occurred_at)
        select overlay(a.execution::text placing lpad(to_hex(a.place - 1), 2, '0') from 35)::uuid, a.workspace_id,
            a.workflow_id, a.execution, 'action', a.name, a.selector, a.page_url, a.execution_time_ms, a.config,
            a.error, a.place - 1, a.received_at
        from actions a
        returning 1
    ), counts as (
        select workspace_id, workflow_id, (count(*) filter (where status = 'success'))::integer as succeeded,
            (count(*) filter (where status <> 'success'))::integer as failed, max(received_at) as at
        from recorded group by workspace_id, workflow_id
    ), counted as materialized (
        select increment_automation_metrics(o.id, o.succeeded, o.failed, 0, 0, o.at) from (
            select a.id, c.succeeded, c.failed, c.at
            from counts c join automations a on a.id = c.workflow_id and a.workspace_id = c.workspace_id
            where (select count(*) from acted) is not null order by a.id
        ) o
    )
    select count(*) filter (where r.status = 'success') as success, count(*) filter (where r.status = 'error') as error,
        count(*) filter (where r.status = 'timeout') as timeout, (select count(*) from counted) as automations
    from recorded r
"""

#: Errors of PostgreSQL that an entry's own content causes: they would come again.
_CONTENT_ERRORS = (
    psycopg2.DataError, psycopg2.IntegrityError, errors.ProgramLimitExceeded, errors.StatementTooComplex,
)  # fmt: skip


#: Of `store`, which the group door calls in one thread at a time.
_connection = DoorConnection()


@dataclass(frozen=True)
class RecordedBatch:
    """How many executions a batch recorded, by status, and of how many automations it moved the counters."""

    success: int
    error: int
    timeout: int
    automations: int

    @property
    def total(self) -> int:
        """The number of recorded executions."""
        return self.success + self.error + self.timeout


def store(entries: str) -> set[str]:
    """Store entries of any workspaces, a JSON list; return the ids of the duplicates, which are not stored.

    One thread at a time calls it. Everything is durable on return. Storing the same entries again changes nothing, and
    none is its own duplicate. Raises RuntimeError inside a transaction, which could still roll back.
    """
    if db.in_transaction():
        raise RuntimeError("tracked executions are stored in a transaction of their own")
    return set(_connection.fetch_values(_STORE, (entries,)))


def record(limit: int, ids: Sequence[str] | None = None) -> RecordedBatch:
    """Record the oldest entries, at most `limit`, or of these alone: insert their rows, move the automations' counters
    and delete the entries, all or nothing. Entries that another process is recording are skipped."""
    with transaction():
        (batch,) = fetch(RecordedBatch, _RECORD, {"limit": limit, "ids": None if ids is None else list(ids)})
    return batch


def is_content_error(error: Exception) -> bool:
    """Return whether an entry itself makes PostgreSQL refuse it."""
    return isinstance(unwrap_driver_error(error), _CONTENT_ERRORS)


def list_oldest(limit: int) -> list[str]:
    """Return the ids of the oldest entries that are not yet recorded."""
    query = TrackingIntake.select(TrackingIntake.id).where(TrackingIntake.failed_at.is_null())
    with transaction():
        return fetch_values(query.order_by(TrackingIntake.id).limit(limit))


def set_aside(entry_id: str, error: str) -> bool:
    """Keep an entry that cannot be recorded, with the reason; return whether it was still there."""
    changes = {"failed_at": now(), "error": error}
    with transaction():
        return bool(
            execute(
                TrackingIntake.update(changes).where(TrackingIntake.id == entry_id, TrackingIntake.failed_at.is_null())
            )
        )


def is_overdue(seconds: float) -> bool:
    """Return whether an entry waits for longer to be recorded."""
    overdue = TrackingIntake.select().where(
        TrackingIntake.failed_at.is_null(), TrackingIntake.id < fn.lowest_id_at(now() - timedelta(seconds=seconds))
    )
    with transaction():
        return exists(overdue)
