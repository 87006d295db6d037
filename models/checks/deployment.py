"""Checks of a deployment: the role that transactions act as, and the state of run tracking (recorded and due runs,
indexes and their use, the duration of the statistics, retention).

Read-only. All but `fetch_acting_role` need the service's connection.
"""

from __future__ import annotations

import time

from models.database import Row, db, fetch_row, fetch_rows, is_direct, transaction
from models.reports import runs

#: The indexes that the statistics and the counting need.
INDEXES = ("automation_runs_newest", "executions_run_due")
#: Approximate number of automations on one page of the list.
PAGE_SIZE = 50


def fetch_acting_role() -> Row:
    """Return the role that this process's transactions act as (`acting`) and its `login`, with what lets each bypass
    row security (`acting_power`, `login_power`: superuser, bypassrls or null), and whether the connection is `direct`.
    """
    power = "case when {0}.rolsuper then 'superuser' when {0}.rolbypassrls then 'bypassrls' end as {0}_power"
    with transaction():
        row = fetch_row(
            "select acting.rolname as acting, login.rolname as login, "
            f"{power.format('acting')}, {power.format('login')} from pg_roles acting, pg_roles login "
            "where acting.rolname = current_user and login.rolname = session_user"
        )
        assert row is not None
        return {**row, "direct": is_direct(db.connection())}


def fetch_run_records() -> Row:
    """Return `runs` in the last 24 hours, `bytes` of all runs, the number of `late` runs (due for over a minute), and
    `late_seconds` of the oldest."""
    with transaction():
        row = fetch_row(
            """
            select (select count(*) from automation_runs where at > beckon_now() - interval '24 hours') as runs,
                (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint from pg_inherits
                    where inhparent = 'automation_runs'::regclass) as bytes,
                count(*) as late,
                coalesce(extract(epoch from beckon_now() - min(run_due_at)), 0)::float8 as late_seconds
            from executions where run_due_at < beckon_now() - interval '1 minute'
            """
        )
    assert row is not None
    return row


def fetch_volume() -> Row:
    """Return for the last hour: `executions` with a step that counts as a run, and those `without` a run of their own
    or of the hour before. Workspaces whose switch changed meanwhile are excluded."""
    with transaction():
        row = fetch_row(
            """
            with counted as (
                select e.* from executions e join workspaces w on w.id = e.workspace_id
                where e.finished_at > beckon_now() - interval '1 hour'
                    and e.started_at > beckon_now() - interval '1 hour'
                    and e.run_kind is not null and e.run_due_at is null and e.contact_id is not null and not e.test
                    and w.run_tracking and not exists (
                        select 1 from audit a where a.workspace_id = e.workspace_id
                            and a.object_kind = 'switch' and a.object_id = 'run_tracking'
                            and a.at > beckon_now() - interval '1 hour')
            )
            select count(*) as executions, count(*) filter (where not exists (
                select 1 from automation_runs r
                where r.workspace_id = c.workspace_id and r.automation_id = c.automation_id
                    and r.contact_id = c.contact_id and r.at > c.started_at - interval '1 hour'
            )) as without
            from counted c
            """
        )
    assert row is not None
    return row


def fetch_retention_state() -> Row:
    """Return `too_old` (whether a run is older than 90 days and the rest of its day), `days_ahead` with partitions, and
    `cleaned_seconds_ago`: the time since retention last succeeded, or None."""
    with transaction():
        row = fetch_row(
            """
            select exists (select 1 from automation_runs where at < beckon_now() - interval '92 days') as too_old,
                (select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
                    where i.inhparent = 'automation_runs'::regclass
                    and c.relname > 'automation_runs_' || to_char(beckon_now(), 'YYYY_MM_DD')
                    and c.relname <> 'automation_runs_default') as days_ahead,
                (select extract(epoch from beckon_now() - last_succeeded_at)::float8 from periodic_jobs
                    where name = 'retention') as cleaned_seconds_ago
            """
        )
    assert row is not None
    return row


def find_missing_indexes() -> list[str]:
    """Return the needed indexes that are missing or invalid."""
    with transaction():
        rows = fetch_rows(
            "select c.relname from pg_class c join pg_index i on i.indexrelid = c.oid "
            "where c.relname = any(%s) and i.indisvalid",
            (list(INDEXES),),
        )
    return [name for name in INDEXES if name not in {row["relname"] for row in rows}]


def find_scanned_tables() -> list[str]:
    """Return the run tables that the statistics' plan scans sequentially for lack of an index.

    The planner scans small tables by choice, so sequential scans are disabled here.
    """
    with transaction():
        fetch_rows("set local enable_seqscan = off")
        plan = "\n".join(runs.explain_last_day())
    tables = [line.split("Seq Scan on ", 1)[1].split()[0] for line in plan.splitlines() if "Seq Scan on " in line]
    return sorted({table for table in tables if table.startswith("automation_runs")})


def measure_statistics_ms() -> float:
    """Measure the statistics, in milliseconds, for a page of the automations with the most runs."""
    with transaction():
        rows = fetch_rows("select id, workspace_id from automations order by total_runs desc limit %s", (PAGE_SIZE,))
    if not rows:
        return 0.0
    workspace_id = rows[0]["workspace_id"]
    ids = [row["id"] for row in rows if row["workspace_id"] == workspace_id]
    began = time.perf_counter()
    runs.fetch_last_day(workspace_id, ids)
    return (time.perf_counter() - began) * 1000
