"""What a deployment is judged by. Of its connections, whom transactions act as. Of run tracking, what is recorded and
what is due, the indexes and whether they are used, how long the statistics take, and how far back the runs reach.
Read-only; but for the first it needs the service's connection."""

from __future__ import annotations

import time

from models.database import Row, db, fetch_row, fetch_rows, is_direct, transaction
from models.reports import runs

#: Each index that the statistics and the counting need.
INDEXES = ("automation_runs_newest", "executions_run_due")
#: Automations in one page of the list, about.
PAGE_SIZE = 50


def fetch_acting_role() -> Row:
    """Whom this process's transactions act as: `acting`, and the `login` behind it, with what each may pass by
    (`acting_power`, `login_power`: superuser, bypassrls or null); and whether the connection is `direct`."""
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
    """`runs` in the last 24 hours, `bytes` of all runs, and what is `late`: due for over a minute,
    with `late_seconds`."""
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
    """Of the last hour: `executions` whose step counted as a run, and those `without` one, neither their own nor that
    of the hour before it. Workspaces whose switch was turned meanwhile are left out."""
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
    """`too_old`, whether a run outlived 90 days and the day that it happened in; `days_ahead` that have partitions;
    `cleaned_seconds_ago`, when retention last succeeded, if it ever did."""
    with transaction():
        row = fetch_row(
            """
            select exists (select 1 from automation_runs where at < beckon_now() - interval '92 days') as too_old,
                (select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid
                    where i.inhparent = 'automation_runs'::regclass
                    and c.relname > 'automation_runs_' || to_char(beckon_now(), 'YYYY_MM_DD')
                    and c.relname <> 'automation_runs_default') as days_ahead,
                (select extract(epoch from beckon_now() - last_succeeded_at)::float8 from duties
                    where name = 'retention') as cleaned_seconds_ago
            """
        )
    assert row is not None
    return row


def find_missing_indexes() -> list[str]:
    """Which of the needed indexes are not there, or not valid."""
    with transaction():
        rows = fetch_rows(
            "select c.relname from pg_class c join pg_index i on i.indexrelid = c.oid "
            "where c.relname = any(%s) and i.indisvalid",
            (list(INDEXES),),
        )
    return [name for name in INDEXES if name not in {row["relname"] for row in rows}]


def find_scanned_tables() -> list[str]:
    """What the statistics would read from end to end although an index could serve: tables of the plan. Small tables
    are read so by choice, so the planner is told to prefer an index wherever there is one."""
    with transaction():
        fetch_rows("set local enable_seqscan = off")
        plan = "\n".join(next(iter(line.values())) for line in runs.explain_last_day())
    tables = [line.split("Seq Scan on ", 1)[1].split()[0] for line in plan.splitlines() if "Seq Scan on " in line]
    return sorted({table for table in tables if table.startswith("automation_runs")})


def measure_statistics_ms() -> float:
    """How long the statistics take for a page of the automations with the most runs."""
    with transaction():
        rows = fetch_rows("select id, workspace_id from automations order by total_runs desc limit %s", (PAGE_SIZE,))
    if not rows:
        return 0.0
    workspace_id = rows[0]["workspace_id"]
    ids = [row["id"] for row in rows if row["workspace_id"] == workspace_id]
    began = time.perf_counter()
    runs.fetch_last_day(workspace_id, ids)
    return (time.perf_counter() - began) * 1000
