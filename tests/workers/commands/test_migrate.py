"""`beckon migrate` on a database of a version without run tracking: its report, and that repeating is safe; and the way
back with `--down`."""

from __future__ import annotations

import json
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
    "stage, stage_since, queue, rung_at, created_at, finished_at) "
    "select ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, workspace_id, id, "
    "gen_random_uuid(), 1, gen_random_uuid(), gen_random_uuid(), 'succeeded', 'completed', now(), 'sending', now(), "
    "now(), now() from automations, generate_series(1, 7) n where name = 'A1'",
)


@pytest.fixture
def old_url(url, monkeypatch):
    """A database of a version that counted no runs, with history; the command uses it."""
    migrations.migrate(url)
    migrations.revert(url, RUNS)
    real.run_sql(url, *HISTORY)
    use_database(url, monkeypatch)
    return url


def use_database(url, monkeypatch):
    """Let the command use this database; with the owner's URL alone it acts as the service in it too."""
    monkeypatch.setenv("DATABASE_URL", url)
    for name in ("DATABASE_APP_URL", "DATABASE_SERVICE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def migrated_url(url, monkeypatch):
    """A database of this version; the command uses it."""
    migrations.migrate(url)
    use_database(url, monkeypatch)
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
    assert migrations.upgrade(old_url) == migrations.Upgrade([], [], [], [])

    # Seven runs that the counters lack, as after a restore or a manual change.
    real.run_sql(
        old_url,
        "insert into automation_runs select gen_random_uuid(), workspace_id, automation_id, contact_id, id, 'main_dm', "
        "finished_at from executions",
        "update automations set archived_runs = 2 where name = 'A1'",
    )
    for _ in range(2):
        assert beckon("runs", "backfill").stdout == "Counters of 3 automations rebuilt.\n"
        assert [(name, total) for name, _, total, *_ in read_counters(old_url)] == [("A1", 9), ("A2", 0), ("A3", 0)]
    assert read_counters(old_url)[0][3] is not None
    # Other invariants are violated because this history has no triggers.
    assert "  ok      run_counters_add_up" in beckon("verify", code=1).stdout


NEWEST_FIRST = sorted((file.name.removesuffix(".up.sql") for file in migrations.FOLDER.glob("*.up.sql")), reverse=True)
BEFORE_A_TABLE, ITS_TABLE = "0026", "table webhook_tokens"


def test_down_reverts_the_newest_migration_and_says_so(migrated_url, beckon):
    assert beckon("migrate", "--down", "--yes").stdout == f"reverted {NEWEST_FIRST[0]}\n"
    assert migrations.list_pending(migrated_url) == NEWEST_FIRST[:1]
    assert f"applied {NEWEST_FIRST[0]}" in beckon("migrate").stdout


def test_down_to_a_version_keeps_that_version(migrated_url, beckon):
    later = [name for name in NEWEST_FIRST if name > "0029_started_sessions"]
    assert json.loads(beckon("migrate", "--down", "0029", "--yes", "--json").stdout) == {"reverted": later}
    assert migrations.list_pending(migrated_url) == later[::-1]
    assert beckon("migrate", "--down", "0029_started_sessions").stdout == "There is nothing to revert.\n"


@pytest.mark.parametrize("answer", ["", "n\n"], ids=["no answer", "no"])
def test_down_reverts_nothing_unless_the_loss_of_data_is_confirmed(migrated_url, beckon, answer):
    refused = beckon("migrate", "--down", BEFORE_A_TABLE, code=1, stdin=answer)
    assert ITS_TABLE in refused.stderr
    assert refused.stderr.splitlines()[-1].endswith("nothing was reverted; confirm the loss of data, or use --yes")
    assert migrations.list_pending(migrated_url) == []


def test_down_loses_data_after_a_confirmation(migrated_url, beckon):
    assert "reverted 0027_webhook_tokens" in beckon("migrate", "--down", BEFORE_A_TABLE, stdin="y\n").stdout
    assert "0027_webhook_tokens" in migrations.list_pending(migrated_url)


def test_down_to_an_unknown_version_is_refused_by_name(migrated_url, beckon):
    refused = beckon("migrate", "--down", "0999", "--yes", code=1)
    assert refused.stderr == (
        f'beckon: DATABASE_URL: there is no migration "0999"; the newest applied one is {NEWEST_FIRST[0]}\n'
    )
    assert migrations.list_pending(migrated_url) == []


@pytest.mark.parametrize("options", [("--pre", "--down"), ("--yes",)])
def test_options_that_contradict_each_other_are_refused(beckon, options):
    assert "Usage: beckon migrate" in beckon("migrate", *options, code=2).stderr


@pytest.fixture
def earlier_url(migrated_url):
    """A database of the version before the newest post migration; the command uses it."""
    migrations.revert(migrated_url, "0033_pre_standard_names")
    return migrated_url


def test_pre_leaves_the_post_migrations_until_the_old_programs_have_ended(earlier_url, beckon):
    lines = beckon("migrate", "--pre").stdout.splitlines()
    assert lines[0] == "applied 0033_pre_standard_names"
    assert lines[-1] == "Run `beckon migrate` once all programs of the earlier version have ended."
    assert "pending 0034_post_standard_names" in lines
    again = json.loads(beckon("migrate", "--pre", "--json").stdout)
    assert (again["applied"], again["pending"][0]) == ([], "0034_post_standard_names")

    doctor = json.loads(beckon("doctor", "--json", code=None).stdout)
    (check,) = [check for check in doctor["checks"] if check["name"] == "migrations"]
    assert check["status"] == "note"
    assert check["detail"].startswith("not applied: 0034_post_standard_names")

    assert "applied 0034_post_standard_names" in beckon("migrate").stdout.splitlines()
    assert beckon("migrate", "--pre").stdout == "The database is up to date.\n"
