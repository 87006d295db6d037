"""Counts runs: one for a contact and automation in an hour, in the commit of the record whose step counts.

The row of `run_windows` is what racing workers queue at, by PostgreSQL's clock; `run_windows`, `automation_runs` and
the counters on the automation change together or not at all. Counting is under a savepoint of its own: where it fails
(rights, a lock that somebody holds, a full disk), the record goes on without it and marks the run as due on its
execution, for `count_due` to count when that works again. So nothing here can stop a message (product, guarantee 5).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import peewee
import psycopg2
import structlog
from psycopg2.errors import LockNotAvailable

import metrics
from models.database import CONNECTION_ERRORS, Row, driver_error, rows, transaction, value
from models.json_text import json_text
from models.progress import Progress

log = structlog.get_logger(__name__)

#: Seconds without another attempt after one that failed: a tracker that is broken must not slow down what it tracks.
REST_SECONDS = 5.0

#: The executions of the whole batch are locked first and in order, as the record that follows would lock them; then
#: windows, and in the record the automations: one order for everybody. A `run_id` is there for those that count.
PREPARE = """
prepare count_runs (json, boolean, uuid[]) as
with given as materialized (
    select * from json_to_recordset($1) as x(id uuid, expected integer, run_id uuid, kind text)
), held as materialized (
    select e.id, e.workspace_id, e.automation_id, e.contact_id, g.run_id, g.kind
    from executions e join given g on g.id = e.id
    where e.id = any($3) and e.fence = g.expected and e.lease_until is not null
    order by e.id for update of e
), wanted as materialized (
    select h.* from held h join workspaces w on w.id = h.workspace_id
    where h.run_id is not null and h.contact_id is not null and coalesce($2, w.run_tracking)
), opened as (
    insert into run_windows as w (automation_id, contact_id, workspace_id, counted_at)
    select distinct on (automation_id, contact_id) automation_id, contact_id, workspace_id, beckon_now()
    from wanted order by automation_id, contact_id
    on conflict (automation_id, contact_id) do update set counted_at = excluded.counted_at
        where w.counted_at <= excluded.counted_at - interval '1 hour'
    returning automation_id, contact_id
), chosen as materialized (
    select distinct on (w.automation_id, w.contact_id) w.*
    from wanted w join opened o on (o.automation_id, o.contact_id) = (w.automation_id, w.contact_id)
    order by w.automation_id, w.contact_id, w.id
), written as (
    insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at)
    select run_id, workspace_id, automation_id, contact_id, id, kind, beckon_now() from chosen
)
select w.id, w.automation_id, w.contact_id, w.kind, c.id is not null as counted
from wanted w left join chosen c on c.id = w.id
"""


@dataclass(frozen=True)
class Tracked:
    """What became of one execution's run: counted, or the same as one that was counted less than an hour before."""

    execution_id: str
    automation_id: str
    contact_id: str
    kind: str
    counted: bool


class Tracker:
    """Counts the runs of one ledger's records. `forced` is the environment's word on the switch, if it has one."""

    def __init__(self, forced: bool | None) -> None:
        self._forced = forced
        self._rests_until = 0.0

    def go_on(self) -> None:
        """Try again at once, whatever failed before."""
        self._rests_until = 0.0

    def concerns(self, records: Sequence[Progress]) -> bool:
        """Whether any of the records is to be counted or marked."""
        return self._forced is not False and any(record.run for record in records)

    def count(self, cursor: Any, records: Sequence[Progress]) -> tuple[list[Tracked], dict[str, dict[str, Any]]]:
        """Inside the caller's transaction, before its record: what was counted or was the same run, and what the
        record has to say about that of each execution."""
        if time.monotonic() < self._rests_until:
            return [], _due(records)
        try:
            tracked = self._try(cursor, records)
        except (*CONNECTION_ERRORS, psycopg2.Error) as error:
            if cursor.connection.closed:
                raise
            cursor.execute("rollback to savepoint runs")
            self._rests_until = time.monotonic() + REST_SECONDS
            log.warning("[TRACKING] Runs cannot be counted now, they will be later", error=str(error).strip())
            return [], _due(records)
        return tracked, {one.execution_id: {"ran": True} for one in tracked if one.counted}

    def _try(self, cursor: Any, records: Sequence[Progress]) -> list[Tracked]:
        given = [
            {"id": record.execution_id, "expected": record.fence}
            | ({"run_id": record.run.id, "kind": record.run.kind} if record.run else {})
            for record in records
        ]
        cursor.execute(
            "savepoint runs; set local lock_timeout = '1s'; execute count_runs(%s, %s, %s::uuid[])",
            (json_text(given), self._forced, [record.execution_id for record in records]),
        )
        tracked = [Tracked(*values) for values in cursor.fetchall()]
        cursor.execute("release savepoint runs; set local lock_timeout to default")
        return tracked


def _due(records: Sequence[Progress]) -> dict[str, dict[str, Any]]:
    for record in records:
        if record.run:
            metrics.runs_counted_total.labels(kind=record.run.kind, result="failed").inc()
    return {record.execution_id: {"run_due_at": record.run.at} for record in records if record.run}


def count_due(most: int) -> list[Tracked]:
    """Count at most so many runs that could not be counted when they happened; what became of each. None of them
    while somebody locks the table."""
    try:
        found = _count_due(most)
    except peewee.OperationalError as error:
        if not isinstance(driver_error(error), LockNotAvailable):
            raise
        return []
    return [Tracked(**one) for one in found]


def _count_due(most: int) -> list[Row]:
    with transaction():
        rows("set local lock_timeout = '1s'")
        return rows("select execution_id, automation_id, contact_id, kind, counted from count_due_runs(%s)", (most,))


def rebuild_counters() -> int:
    """Every automation's run counters from what is there and what was archived; how many automations."""
    with transaction():
        rows("set local statement_timeout = 0")
        return int(value("select rebuild_run_counters()"))


def tell(tracked: Sequence[Tracked]) -> None:
    """Say in log and metrics what was counted and what was not; after the commit."""
    for one in tracked:
        fields = {"automation_id": one.automation_id, "contact_id": one.contact_id}
        fields |= {"execution_id": one.execution_id, "kind": one.kind}
        if one.counted:
            log.info(f"[TRACKING] Automation run tracked: {one.automation_id} ({one.kind})", **fields)
        else:
            log.info(f"[TRACKING] Duplicate run skipped for user {one.contact_id}", **fields)
        metrics.runs_counted_total.labels(kind=one.kind, result="counted" if one.counted else "duplicate").inc()
