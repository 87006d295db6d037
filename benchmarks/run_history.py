"""Creates a history of runs: 90 days of 50 automations, inside PostgreSQL, ten million runs in about a minute.

Contacts and automations are random; the last day is as dense as every other. Each day is a partition, as the scheduler
creates it. The index is built after the rows, because that is faster. Afterwards the state is as after a restore: the
counters are rebuilt with the function of `beckon runs backfill`, the tables vacuumed and analyzed.
"""

from __future__ import annotations

from models import database, workspace
from models.database import transaction
from models.engine import runs
from models.queries import execute, fetch_value, fetch_values

AUTOMATIONS, DAYS = 50, 90


def create_run_history(database_url: str, count: int) -> tuple[str, list[str]]:
    """Fill a migrated database as its owner. Returns the ids of the workspace and of its automations, newest first."""
    database.open_pool(database_url, None, 2)
    workspace_id = workspace.create("benchmark", "Benchmark")
    with transaction():
        execute("set local statement_timeout = 0; set local maintenance_work_mem = '256MB'")
        execute(
            "insert into automations (id, workspace_id, name, type) "
            "select gen_random_uuid(), %s, 'Automation ' || n, 'comment_to_dm' from generate_series(1, %s) n",
            (workspace_id, AUTOMATIONS),
        )
        _make_days()
        index = fetch_value("select pg_get_indexdef('automation_runs_newest'::regclass)")
        execute("drop index automation_runs_newest")
        _make_runs(workspace_id, count)
        execute(index.replace("ON ONLY", "ON"))
    runs.rebuild_counters()
    with database.connection(), database.db.cursor() as cursor:
        # Outside a transaction: acting as a role needs one, and VACUUM cannot run in one.
        cursor.execute("vacuum analyze automation_runs, automations")
    with transaction():
        ids = fetch_values("select id from automations order by id desc")
    database.db.close_all()
    return workspace_id, ids


def _make_days() -> None:
    execute(
        f"do $$ declare day date; begin for n in 1..{DAYS} loop day := beckon_now()::date - n; execute format("
        "'create table %%I partition of automation_runs for values from (%%L) to (%%L)', "
        "'automation_runs_' || to_char(day, 'YYYY_MM_DD'), day::timestamptz, (day + 1)::timestamptz); "
        "end loop; end $$"
    )


def _make_runs(workspace_id: str, count: int) -> None:
    """Insert the runs in the order of their times."""
    execute(
        """
        with ids as (select array_agg(id) as list from automations)
        insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at)
        select gen_random_uuid(), %s, list[1 + floor(random() * %s)::integer], gen_random_uuid(),
            gen_random_uuid(), (array['comment_reply', 'opening_dm', 'follow_check', 'main_dm'])[1 + n %% 4],
            beckon_now() - make_interval(secs => (%s - n) * %s::float8 / %s)
        from ids, generate_series(1, %s) as n
        """,
        (workspace_id, AUTOMATIONS, count, DAYS * 86_400, count, count),
    )
