"""Ten million runs of 90 days behind 50 automations, made in PostgreSQL itself within a minute or so.

Contacts, kinds and automations are by chance; the last day is as dense as every other. Each day is a partition, as the
scheduler would have made it. The index is made after the rows, because that is quicker; afterwards all is as after a
restore: counters rebuilt by `beckon runs backfill`'s own function, tables vacuumed and analyzed.
"""

from __future__ import annotations

from models import database, workspace
from models.database import execute, fetch_rows, fetch_value, transaction
from models.engine import runs

AUTOMATIONS, DAYS = 50, 90


def create_run_history(database_url: str, count: int) -> tuple[str, list[str]]:
    """Fill a migrated database as its owner; the workspace, and its automations, newest first."""
    database.open_pool(database_url, None, 2)
    workspace_id = workspace.create("benchmark", "Benchmark")
    with transaction():
        fetch_rows("set local statement_timeout = 0; set local maintenance_work_mem = '256MB'")
        execute(
            "insert into automations (id, workspace_id, name, type) "
            "select gen_random_uuid(), %s, 'Automation ' || n, 'comment_to_dm' from generate_series(1, %s) n",
            (workspace_id, AUTOMATIONS),
        )
        _make_days()
        index = fetch_value("select pg_get_indexdef('automation_runs_newest'::regclass)")
        fetch_rows("drop index automation_runs_newest")
        _make_runs(workspace_id, count)
        fetch_rows(index.replace("ON ONLY", "ON"))
    runs.rebuild_counters()
    with database.connection(), database.db.cursor() as cursor:
        # As it stands: bound to a role it would be in a transaction, in which nothing is vacuumed.
        cursor.execute("vacuum analyze automation_runs, automations")
    with transaction():
        ids = [row["id"] for row in fetch_rows("select id from automations order by id desc")]
    database.db.close_all()
    return workspace_id, ids


def _make_days() -> None:
    fetch_rows(
        f"do $$ declare one date; begin for n in 1..{DAYS} loop one := beckon_now()::date - n; execute format("
        "'create table %%I partition of automation_runs for values from (%%L) to (%%L)', "
        "'automation_runs_' || to_char(one, 'YYYY_MM_DD'), one::timestamptz, (one + 1)::timestamptz); "
        "end loop; end $$"
    )


def _make_runs(workspace_id: str, count: int) -> None:
    """In the order of their times, as they would have come."""
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
