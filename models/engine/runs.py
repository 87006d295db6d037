"""Counts runs: one per contact, automation and hour, in the commit of the record whose step counts.

A lock on the `run_windows` row serializes concurrent workers; times are PostgreSQL's. `run_windows`, `automation_runs`
and the automation's counters change together or not at all. If that fails (permissions, a lock, a full disk), the group
commit writes the same record without counting and marks the run as due on its execution; `count_due` counts it later.
So nothing here can stop a message.

`COUNT` is written by hand, because it is a part of the statement that records executions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import peewee
import structlog
from peewee import fn
from psycopg2.errors import LockNotAvailable

import metrics
from models.database import transaction, unwrap_driver_error
from models.engine.records import CountRun, ExecutionRecord
from models.queries import call, execute, fetch, fetch_value
from rules.actions import RunKind

#: Lines that come with every run are written together: the thread of the group commit writes them.
log = structlog.get_logger(__name__, True)

#: Seconds without another attempt after a failed one: failing run tracking must not slow down the executions.
BACKOFF_SECONDS = 5.0

#: Milliseconds that counting waits for a lock; then the record is written without it, or due runs stay due.
LOCK_TIMEOUT_MS = 1_000

#: The counting part of the record statement (`models.engine.claim_and_record`), after the executions have moved:
#: windows first, then automations, in one order for every process. $9 is the environment's value of the switch or null.
COUNT = """
countable as materialized (
    select m.* from moved m join workspaces w on w.id = m.workspace_id
    where m.run_id is not null and m.contact_id is not null and coalesce($9, w.run_tracking)
), opened as (
    insert into run_windows as w (automation_id, contact_id, workspace_id, counted_at)
    select distinct on (automation_id, contact_id) automation_id, contact_id, workspace_id, beckon_now()
    from countable order by automation_id, contact_id
    on conflict (automation_id, contact_id) do update set counted_at = excluded.counted_at
        where w.counted_at <= excluded.counted_at - interval '1 hour'
    returning automation_id, contact_id
), new_runs as materialized (
    select distinct on (c.automation_id, c.contact_id) c.*
    from countable c join opened o on (o.automation_id, o.contact_id) = (c.automation_id, c.contact_id)
    order by c.automation_id, c.contact_id, c.id
), ran as (
    insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at)
    select run_id, workspace_id, automation_id, contact_id, id, run_kind, beckon_now() from new_runs
)
"""


@dataclass(frozen=True)
class TrackedRun:
    """One execution's run: counted, or a duplicate of one counted less than an hour before."""

    execution_id: str
    automation_id: str
    contact_id: str
    kind: RunKind
    counted: bool


class Tracker:
    """Decides whether the records of one group commit count runs. `override` is the environment's value of the switch,
    or None."""

    def __init__(self, override: bool | None) -> None:
        self.override = override
        self._backoff_until = 0.0

    def should_count(self, records: Sequence[ExecutionRecord]) -> bool:
        """Return whether to write these records with the statement that counts runs."""
        return any(map(self._get_run, records)) and time.monotonic() >= self._backoff_until

    def _get_run(self, record: ExecutionRecord) -> CountRun | None:
        return None if self.override is False else record.run

    def build_run_columns(self, record: ExecutionRecord, count_runs: bool) -> dict[str, Any]:
        """Return the run columns of a record: the run's id, to count it now, or the time since which it is due."""
        run = self._get_run(record)
        if run is None:
            return {}
        return {"run_id": run.id} if count_runs else {"run_due_at": run.at}

    def back_off(self, error: Exception) -> None:
        """Mark runs as due for `BACKOFF_SECONDS`, after counting failed and the same record without it succeeded."""
        self._backoff_until = time.monotonic() + BACKOFF_SECONDS
        log.warning("[TRACKING] Runs cannot be counted now and are counted later", error=str(error).strip())

    def resume(self) -> None:
        """Count again at once, whatever failed before."""
        self._backoff_until = 0.0

    def report_due(self, records: Sequence[ExecutionRecord]) -> None:
        """Increment the metric for runs that will be counted later."""
        for run in filter(None, map(self._get_run, records)):
            metrics.runs_counted_total.labels(kind=run.kind, result="failed").inc()


def count_due(limit: int) -> list[TrackedRun]:
    """Count at most `limit` runs that could not be counted when they happened, and return each with its result.

    Returns an empty list while another session locks the table.
    """
    try:
        return _count_due(limit)
    except peewee.OperationalError as error:
        if not isinstance(unwrap_driver_error(error), LockNotAvailable):
            raise
        return []


def _count_due(limit: int) -> list[TrackedRun]:
    with transaction():
        execute(call(fn.set_config("lock_timeout", str(LOCK_TIMEOUT_MS), True)))
        return fetch(TrackedRun, call(fn.count_due_runs(limit), TrackedRun))


def rebuild_counters() -> int:
    """Rebuild every automation's run counters from its rows and archived totals; return the number of automations."""
    with transaction():
        execute("set local statement_timeout = 0")
        return int(fetch_value(call(fn.rebuild_run_counters())))


def report_runs(tracked: Sequence[TrackedRun]) -> None:
    """Report counted and duplicate runs in log and metrics. Call it after the commit."""
    for run in tracked:
        fields = {"automation_id": run.automation_id, "contact_id": run.contact_id}
        fields |= {"execution_id": run.execution_id, "kind": run.kind}
        if run.counted:
            log.info(f"[TRACKING] Automation run tracked: {run.automation_id} ({run.kind})", **fields)
        else:
            log.info(f"[TRACKING] Duplicate run skipped for user {run.contact_id}", **fields)
        metrics.runs_counted_total.labels(kind=run.kind, result="counted" if run.counted else "duplicate").inc()
