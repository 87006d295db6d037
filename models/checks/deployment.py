"""Checks of a deployment: the role that transactions act as, and the state of run tracking (recorded and due runs,
indexes and their use, the duration of the statistics, retention).

Read-only. All but `fetch_acting_role` need the service's connection. Queries of PostgreSQL's catalog are written by
hand, because no model describes its tables.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TypedDict

from peewee import SQL, fn

from models.database import db, is_direct, transaction
from models.expressions import now
from models.queries import count, execute, exists, fetch, fetch_value, fetch_values
from models.reports import runs
from models.tables import AuditEntry, Automation, AutomationRun, Execution, PeriodicJob, Workspace

#: The indexes that the statistics and the counting need.
INDEXES = ("automation_runs_newest", "executions_run_due")
#: Approximate number of automations on one page of the list.
PAGE_SIZE = 50

_ACTING_ROLE = """
    select acting.rolname as acting, login.rolname as login,
        case when acting.rolsuper then 'superuser' when acting.rolbypassrls then 'bypassrls' end as acting_power,
        case when login.rolsuper then 'superuser' when login.rolbypassrls then 'bypassrls' end as login_power
    from pg_roles acting, pg_roles login where acting.rolname = current_user and login.rolname = session_user
"""
_RUN_BYTES = """
    select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint from pg_inherits
    where inhparent = 'automation_runs'::regclass
"""
_DAYS_AHEAD = """
    select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'automation_runs'::regclass and c.relname <> 'automation_runs_default'
        and c.relname > 'automation_runs_' || to_char(beckon_now(), 'YYYY_MM_DD')
"""
_MONTHS_AHEAD = """
    select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'executions'::regclass and c.relname <> 'executions_default'
        and c.relname > 'executions_' || to_char(beckon_now() at time zone 'UTC', 'YYYY_MM')
"""
_VALID_INDEXES = """
    select c.relname from pg_class c join pg_index i on i.indexrelid = c.oid where c.relname = any(%s) and i.indisvalid
"""


class RoleRow(TypedDict):
    """The role that transactions act as and the login behind it, each with its power to bypass row security."""

    acting: str
    acting_power: str | None
    login: str
    login_power: str | None


@dataclass(frozen=True)
class Identity:
    """A role, with its power to bypass row security: superuser, bypassrls or None."""

    name: str
    power: str | None


@dataclass(frozen=True)
class ActingRole:
    """The role that transactions act as, the login behind it, and whether the connection reaches PostgreSQL without a
    pooler."""

    acting: Identity
    login: Identity
    is_direct: bool


def fetch_acting_role() -> ActingRole:
    """Return the role that this process's transactions act as."""
    with transaction():
        (row,) = fetch(RoleRow, _ACTING_ROLE)
        acting, login = Identity(row["acting"], row["acting_power"]), Identity(row["login"], row["login_power"])
        return ActingRole(acting, login, is_direct(db.connection()))


class LateRunsRow(TypedDict):
    """How many runs have been due for over a minute, and the seconds since the oldest became due."""

    late: int
    late_seconds: float


@dataclass(frozen=True)
class RunRecords:
    """The runs of the last 24 hours, the size of all in bytes, and the late ones."""

    runs: int
    bytes: int
    late: int
    late_seconds: float


def fetch_run_records() -> RunRecords:
    """Return how many runs are recorded, and how many are late: due for over a minute."""
    with transaction():
        recent = AutomationRun.select().where(AutomationRun.at > now() - SQL("interval '24 hours'"))
        (late,) = fetch(
            LateRunsRow,
            Execution.select(
                fn.count(SQL("*")).alias("late"),
                fn.coalesce(fn.date_part("epoch", now() - fn.min(Execution.run_due_at)), 0.0).alias("late_seconds"),
            ).where(Execution.run_due_at < now() - SQL("interval '1 minute'")),
        )
        return RunRecords(count(recent), int(fetch_value(_RUN_BYTES)), **late)


class VolumeRow(TypedDict):
    """How many executions have a step that counts as a run, and how many of them lack their run."""

    executions: int
    without: int


def fetch_volume() -> VolumeRow:
    """Return for the last hour: `executions` with a step that counts as a run, and those `without` a run of their own
    or of the hour before. Workspaces whose switch changed meanwhile are excluded."""
    hour = SQL("interval '1 hour'")
    switched = AuditEntry.select(SQL("1")).where(
        AuditEntry.workspace_id == Execution.workspace_id,
        AuditEntry.object_kind == "switch",
        AuditEntry.object_id == "run_tracking",
        AuditEntry.at > now() - hour,
    )
    run = AutomationRun.select(SQL("1")).where(
        AutomationRun.workspace_id == Execution.workspace_id,
        AutomationRun.automation_id == Execution.automation_id,
        AutomationRun.contact_id == Execution.contact_id,
        AutomationRun.at > Execution.started_at - hour,
    )
    query = (
        Execution.select(
            fn.count(SQL("*")).alias("executions"), fn.count(SQL("*")).filter(~fn.exists(run)).alias("without")
        )
        .join(Workspace, on=Workspace.id == Execution.workspace_id)
        .where(
            Execution.finished_at > now() - hour,
            Execution.started_at > now() - hour,
            Execution.run_kind.is_null(False),
            Execution.run_due_at.is_null(),
            Execution.contact_id.is_null(False),
            ~Execution.test,
            Workspace.run_tracking,
            ~fn.exists(switched),
        )
    )
    with transaction():
        (row,) = fetch(VolumeRow, query)
    return row


@dataclass(frozen=True)
class RetentionState:
    """Whether a run is older than 90 days and the rest of its day, for how many days ahead there are partitions of runs
    and for how many months of executions, and the seconds since retention last succeeded, or None."""

    too_old: bool
    days_ahead: int
    months_ahead: int
    cleaned_seconds_ago: float | None


def fetch_retention_state() -> RetentionState:
    """Return what retention has done and still has to do."""
    too_old = AutomationRun.select(SQL("1")).where(AutomationRun.at < now() - SQL("interval '92 days'"))
    cleaned = PeriodicJob.select(fn.date_part("epoch", now() - PeriodicJob.last_succeeded_at)).where(
        PeriodicJob.name == "retention"
    )
    with transaction():
        days, months = int(fetch_value(_DAYS_AHEAD)), int(fetch_value(_MONTHS_AHEAD))
        return RetentionState(exists(too_old), days, months, fetch_value(cleaned))


def find_missing_indexes() -> list[str]:
    """Return the needed indexes that are missing or invalid."""
    with transaction():
        valid = fetch_values(_VALID_INDEXES, (list(INDEXES),))
    return [name for name in INDEXES if name not in valid]


def find_scanned_tables() -> list[str]:
    """Return the run tables that the statistics' plan scans sequentially for lack of an index.

    The planner scans small tables by choice, so sequential scans are disabled here.
    """
    with transaction():
        execute("set local enable_seqscan = off")
        plan = "\n".join(runs.explain_last_day())
    tables = [line.split("Seq Scan on ", 1)[1].split()[0] for line in plan.splitlines() if "Seq Scan on " in line]
    return sorted({table for table in tables if table.startswith("automation_runs")})


class AutomationRow(TypedDict):
    """An automation and its workspace."""

    id: str
    workspace_id: str


def measure_statistics_ms() -> float:
    """Measure the statistics, in milliseconds, for a page of the automations with the most runs."""
    busiest = Automation.select(Automation.id, Automation.workspace_id).order_by(Automation.total_runs.desc())
    with transaction():
        rows = fetch(AutomationRow, busiest.limit(PAGE_SIZE))
    if not rows:
        return 0.0
    workspace_id = rows[0]["workspace_id"]
    ids = [row["id"] for row in rows if row["workspace_id"] == workspace_id]
    began = time.perf_counter()
    runs.fetch_last_day(workspace_id, ids)
    return (time.perf_counter() - began) * 1000
