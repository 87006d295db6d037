"""`beckon migrate` on a database of a version without run tracking: its report, and that repeating is safe."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from models import migrations
from tests.support import servers as real

RUNS, LATER = "0012_runs", "0013_run_indexes"
#: Three automations, one of them with ten finished executions, three of which retention has removed.
HISTORY = (
    "insert into workspaces (id, slug, name) values (gen_random_uuid(), 'old', 'Old')",
    "insert into automations (id, workspace_id, name, type, executions, succeeded, archived_executions, "
    "archived_succeeded, last_executed_at) select gen_random_uuid(), id, 'A' || n, 'workflow', 10 * (n = 1)::integer, "
    "10 * (n = 1)::integer, 3 * (n = 1)::integer, 3 * (n = 1)::integer, now() from workspaces, generate_series(1, 3) n",
    "insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, contact_id, status, "
    "stage, stage_since, queue, rung_at, created_at, finished_at) select gen_random_uuid(), workspace_id, id, "
    "gen_random_uuid(), 1, gen_random_uuid(), gen_random_uuid(), 'succeeded', 'completed', now(), 'sending', now(), "
    "now(), now() from automations, generate_series(1, 7) where name = 'A1'",
)


@pytest.fixture
def old_url(url, monkeypatch):
    """A database of a version that counted no runs, with history; the command uses it."""
    migrations.migrate(url)
    migrations.revert(url, RUNS)
    real.run_sql(url, *HISTORY)
    monkeypatch.setenv("DATABASE_URL", url)
    # With the owner's URL alone the command acts as the service in the same database.
    for name in ("DATABASE_APP_URL", "DATABASE_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)
    return url


def read_counters(url):
    with closing(psycopg2.connect(url)) as owner, owner.cursor() as cursor:
        cursor.execute("select name, executions, total_runs, last_run_at, archived_runs from automations order by name")
        return cursor.fetchall()


def test_an_older_database_is_migrated_with_a_report_and_repeating_changes_nothing(old_url, beckon):
    lines = beckon("migrate").stdout.splitlines()

    assert lines[:2] == [f"applied {RUNS}", f"applied {LATER}"]
    assert {"created index automation_runs_newest", "created index executions_run_due"} <= set(lines)
    assert "run counters of 3 automations initialised" in lines
    never_ran = [("A1", 10, 0, None, 0), ("A2", 0, 0, None, 0), ("A3", 0, 0, None, 0)]
    assert read_counters(old_url) == never_ran
    assert migrations.upgrade(old_url) == migrations.Upgrade([], [], [])

    # Seven runs that the counters lack, as after a restore or a manual change.
    real.run_sql(
        old_url,
        "insert into automation_runs select gen_random_uuid(), workspace_id, automation_id, contact_id, id, 'main_dm', "
        "finished_at from executions",
        "update automations set archived_runs = 2 where name = 'A1'",
    )
    for _ in range(2):
        assert beckon("runs", "backfill").stdout == "Run counters of 3 automations rebuilt.\n"
        assert [(name, total) for name, _, total, *_ in read_counters(old_url)] == [("A1", 9), ("A2", 0), ("A3", 0)]
    assert read_counters(old_url)[0][3] is not None
    # Other invariants are violated because this history has no triggers.
    assert "  ok      run_counters" in beckon("verify", code=1).stdout
