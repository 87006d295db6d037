"""Counts runs: one for a contact and automation in an hour, in the commit of the record whose step counts.

The row of `run_windows` is what racing workers queue at, by PostgreSQL's clock; `run_windows`, `automation_runs` and
the counters on the automation change together or not at all. Where that fails (rights, a lock that somebody holds, a
full disk), the ledger records the same without counting and marks the run as due on its execution, for `count_due` to
count when that works again. So nothing here can stop a message (product, guarantee 5).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import peewee
import structlog
from psycopg2.errors import LockNotAvailable

import metrics
from models.database import Row, fetch_rows, fetch_value, transaction, unwrap_driver_error
from models.engine.progress import CountRun, Progress

log = structlog.get_logger(__name__)

#: Seconds without another attempt after one that failed: a tracker that is broken must not slow down what it tracks.
BACKOFF_SECONDS = 5.0

#: Milliseconds that counting waits for a lock of somebody's: then a record goes on without it, and what is due waits.
LOCK_TIMEOUT_MS = 1_000

#: What a record that counts does more, as part of its statement (`models/ledger_sql`), after its executions have moved:
#: windows, then the automations, one order for everybody. $6 is the environment's word on the switch, if it has one.
COUNT = """
wanted as materialized (
    select m.* from moved m join workspaces w on w.id = m.workspace_id
    where m.run_id is not null and m.contact_id is not null and coalesce($6, w.run_tracking)
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
), ran as (
    insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at)
    select run_id, workspace_id, automation_id, contact_id, id, run_kind, beckon_now() from chosen
)
"""


@dataclass(frozen=True)
class TrackedRun:
    """What became of one execution's run: counted, or the same as one that was counted less than an hour before."""

    execution_id: str
    automation_id: str
    contact_id: str
    kind: str
    counted: bool


class Tracker:
    """Whether one ledger's records count runs now. `forced` is the environment's word on the switch, if it has one."""

    def __init__(self, override: bool | None) -> None:
        self.override = override
        self._backoff_until = 0.0

    def should_count(self, records: Sequence[Progress]) -> bool:
        """Whether these are to be recorded by the statement that counts."""
        return any(map(self._get_run, records)) and time.monotonic() >= self._backoff_until

    def _get_run(self, record: Progress) -> CountRun | None:
        return None if self.override is False else record.run

    def build_run_columns(self, record: Progress, count_runs: bool) -> dict[str, Any]:
        """What its record has to say of an execution's run: its id, to be counted, or that it is due."""
        run = self._get_run(record)
        if run is None:
            return {}
        return {"run_id": run.id} if count_runs else {"run_due_at": run.at}

    def back_off(self, error: Exception) -> None:
        """Counting failed where the same record without it did not: mark runs as due for a while."""
        self._backoff_until = time.monotonic() + BACKOFF_SECONDS
        log.warning("[TRACKING] Runs cannot be counted now, they will be later", error=str(error).strip())

    def resume(self) -> None:
        """Try again at once, whatever failed before."""
        self._backoff_until = 0.0

    def report_due(self, records: Sequence[Progress]) -> None:
        """Count in the metrics what was marked as due."""
        for run in filter(None, map(self._get_run, records)):
            metrics.runs_counted_total.labels(kind=run.kind, result="failed").inc()


def count_due(limit: int) -> list[TrackedRun]:
    """Count at most so many runs that could not be counted when they happened; what became of each. None of them
    while somebody locks the table."""
    try:
        rows = _count_due(limit)
    except peewee.OperationalError as error:
        if not isinstance(unwrap_driver_error(error), LockNotAvailable):
            raise
        return []
    return [TrackedRun(**row) for row in rows]


def _count_due(limit: int) -> list[Row]:
    with transaction():
        fetch_rows(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
        return fetch_rows(
            "select execution_id, automation_id, contact_id, kind, counted from count_due_runs(%s)", (limit,)
        )


def rebuild_counters() -> int:
    """Every automation's run counters from what is there and what was archived; how many automations."""
    with transaction():
        fetch_rows("set local statement_timeout = 0")
        return int(fetch_value("select rebuild_run_counters()"))


def report_runs(tracked: Sequence[TrackedRun]) -> None:
    """Say in log and metrics what was counted and what was not; after the commit."""
    for run in tracked:
        fields = {"automation_id": run.automation_id, "contact_id": run.contact_id}
        fields |= {"execution_id": run.execution_id, "kind": run.kind}
        if run.counted:
            log.info(f"[TRACKING] Automation run tracked: {run.automation_id} ({run.kind})", **fields)
        else:
            log.info(f"[TRACKING] Duplicate run skipped for user {run.contact_id}", **fields)
        metrics.runs_counted_total.labels(kind=run.kind, result="counted" if run.counted else "duplicate").inc()
