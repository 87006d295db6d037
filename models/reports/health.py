"""Health data from PostgreSQL: of one workspace for the health page, of all workspaces for a metrics scrape."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

import peewee
from peewee import SQL, fn

from models.database import acting_as, connection
from models.expressions import all_of, is_distinct_from, now
from models.queries import count, exists, fetch, fetch_first, fetch_value, fetch_values
from models.reports.executions import ErrorDescription, describe_error
from models.tables import Automation, Execution, WorkflowVersion

#: The most recent failures to return.
MAX_FAILURES = 10


class PendingRow(TypedDict):
    """Due executions that are not being processed, and for how long the first has been due."""

    count: int
    oldest_seconds: float


class EngineCounts(TypedDict):
    """The installation's executions: totals, which reveal no workspace."""

    pending: int
    running: int
    waiting: int
    due: int
    oldest_due_seconds: float
    leases_expired: int


class _FailureRow(TypedDict):
    id: str
    automation_id: str
    automation_name: str
    error_class: str
    error_message: str | None
    error_code: str | None
    finished_at: datetime


class Failure(TypedDict):
    """A failed execution."""

    id: str
    automation_id: str
    automation_name: str
    finished_at: datetime
    error: ErrorDescription | None


class _FailureCounts(TypedDict):
    last_hour: int
    last24_hours: int


class RecentFailures(_FailureCounts):
    """The failures of the last hour and day, without tests, and the newest of all."""

    items: list[Failure]


def count_pending(workspace_id: str) -> PendingRow:
    """Count a workspace's due executions that are not being processed."""
    oldest_seconds = fn.date_part("epoch", now() - fn.min(Execution.due_at))
    query = Execution.select(
        fn.count(SQL("*")).alias("count"), fn.coalesce(oldest_seconds, 0).alias("oldest_seconds")
    ).where(
        Execution.workspace_id == workspace_id,
        Execution.status.in_(("pending", "waiting")),
        Execution.due_at <= now(),
    )
    with acting_as(workspace_id):
        row = fetch_first(PendingRow, query)
    assert row is not None
    return row


def fetch_recent_failures(workspace_id: str) -> RecentFailures:
    """Return a workspace's recent failures, without tests and unknown outcomes."""
    is_failed = all_of(
        Execution.workspace_id == workspace_id,
        Execution.status == "failed",
        is_distinct_from(Execution.error_class, "unknown_outcome"),
        ~Execution.test,
    )
    in_last_hour = Execution.finished_at > now() - SQL("interval '1 hour'")
    counts_query = Execution.select(
        fn.count(SQL("*")).filter(in_last_hour).alias("last_hour"), fn.count(SQL("*")).alias("last24_hours")
    ).where(is_failed, Execution.finished_at > now() - SQL("interval '24 hours'"))
    newest_query = (
        Execution.select(
            Execution.id, Execution.automation_id, Automation.name.alias("automation_name"), Execution.error_class,
            Execution.error_message, Execution.error_code, Execution.finished_at,
        )
        .join(Automation, on=Automation.id == Execution.automation_id)
        .where(is_failed)
        .order_by(Execution.id.desc())
        .limit(MAX_FAILURES)
    )  # fmt: skip
    with acting_as(workspace_id):
        counts = fetch_first(_FailureCounts, counts_query)
        newest = fetch(_FailureRow, newest_query)
    assert counts is not None
    return {**counts, "items": [_build_failure(row) for row in newest]}


def _build_failure(row: _FailureRow) -> Failure:
    return {
        "id": row["id"],
        "automation_id": row["automation_id"],
        "automation_name": row["automation_name"],
        "finished_at": row["finished_at"],
        "error": describe_error(row["error_class"], row["error_message"], row["error_code"]),
    }


@dataclass(frozen=True)
class ServerFacts:
    """What PostgreSQL answered: how long a trivial query took, its version, and since when it runs."""

    latency_ms: float
    version: str
    started_at: datetime
    read_only: bool


def measure_server() -> ServerFacts:
    """Measure PostgreSQL with trivial queries on a connection that is open already."""
    with connection():
        read_only = fetch_value("select current_setting('transaction_read_only')") == "on"
        started = time.perf_counter()
        fetch_value("select 1")
        latency_ms = round((time.perf_counter() - started) * 1000, 2)
        version = str(fetch_value("select current_setting('server_version')")).split(" ", 1)[0]
        started_at = fetch_value("select pg_postmaster_start_time()")
    return ServerFacts(latency_ms, version, started_at, read_only)


def fetch_newest_migration() -> str | None:
    """Return the name of the newest applied migration."""
    with connection():
        name: str | None = fetch_value(peewee.Select(columns=[fn.newest_migration()]))
    return name


def count_active_automations(workspace_id: str) -> int:
    """Count a workspace's automations that are on."""
    active = Automation.select().where(
        Automation.workspace_id == workspace_id, Automation.enabled, Automation.deleted_at.is_null()
    )
    with acting_as(workspace_id):
        return count(active)


_COUNTS_CLICKS = peewee.Cast("$.** ? (@.track_clicks == true)", "jsonpath")


def list_used_names(workspace_id: str) -> set[str]:
    """Return the names of the actions and channels in the published workflows of a workspace's active automations, and
    `track_clicks` if a step counts clicks."""
    published = (
        WorkflowVersion.select()
        .join(Automation, on=Automation.version_id == WorkflowVersion.id)
        .where(Automation.workspace_id == workspace_id, Automation.enabled, Automation.deleted_at.is_null())
        .distinct()
    )
    with acting_as(workspace_id):
        names = {
            str(name)
            for path in ("$.**.action", "$.**.channel")
            for name in fetch_values(
                published.select(fn.jsonb_path_query(WorkflowVersion.definition, peewee.Cast(path, "jsonpath")))
            )
        }
        if exists(published.where(fn.jsonb_path_exists(WorkflowVersion.definition, _COUNTS_CLICKS))):
            names.add("track_clicks")
        return names


def fetch_engine_counts() -> EngineCounts:
    """Return the counts of the installation."""
    with connection():
        row = fetch_first(EngineCounts, "select * from engine_facts()")
    assert row is not None
    return row
