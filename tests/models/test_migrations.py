"""Pre and post migrations, and the way back: old and new code run together until the post migrations are applied.

The statements of the earlier version are copies of what its programs run on the tables that were renamed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from models import migrations
from models.migration_losses import list_losses

FIRST, PRE, POST, LATER = "0001_items", "0002_pre_renamed_items", "0003_post_old_items", "0004_pre_colours"


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Add a migration to a folder that has no others."""
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)

    def write(name: str, up: str, down: str) -> None:
        (tmp_path / f"{name}.up.sql").write_text(up, encoding="utf-8")
        (tmp_path / f"{name}.down.sql").write_text(down, encoding="utf-8")

    return write


@pytest.fixture
def renaming(add: Callable[..., None]) -> None:
    """A table that is renamed in two steps, and a change after them."""
    add(FIRST, "create table items (id integer)", "drop table items")
    add(
        PRE,
        "alter table items rename to products; create view items as select * from products",
        "drop view items; alter table products rename to items",
    )
    add(POST, "drop view items", "create view items as select * from products")
    add(LATER, "alter table products add column colour text", "alter table products drop column colour")


def test_pre_stops_before_the_first_pending_post_migration(url, renaming):
    upgrade = migrations.upgrade(url, pre_only=True)
    assert (upgrade.applied, upgrade.pending) == ([FIRST, PRE], [POST, LATER])
    again = migrations.upgrade(url, pre_only=True)
    assert (again.applied, again.pending) == ([], [POST, LATER])


def test_without_pre_everything_is_applied(url, renaming):
    migrations.upgrade(url, pre_only=True)
    upgrade = migrations.upgrade(url)
    assert (upgrade.applied, upgrade.pending) == ([POST, LATER], [])


def test_pre_applies_what_follows_an_applied_post_migration(url, add, renaming):
    migrations.migrate(url)
    add("0005_pre_sizes", "alter table products add column size integer", "alter table products drop column size")
    assert migrations.upgrade(url, pre_only=True).applied == ["0005_pre_sizes"]


@pytest.mark.parametrize("name", ["0022_password_resets", "0001_posts", "0001_prefixes", "0001_items_post_x"])
def test_a_migration_without_the_prefix_is_a_pre_migration(name):
    assert not migrations.is_post(name)


def test_a_pending_post_migration_may_still_be_edited(url, add, renaming):
    migrations.upgrade(url, pre_only=True)
    add(POST, "drop view if exists items", "create view items as select * from products")
    assert POST in migrations.migrate(url)


def test_a_reverted_migration_may_be_edited(url, add, renaming):
    migrations.migrate(url)
    assert migrations.revert(url) == [LATER]
    add(LATER, "alter table products add column colour integer", "alter table products drop column colour")
    assert migrations.migrate(url) == [LATER]


def test_the_plan_lists_the_migrations_after_the_version_and_what_they_remove(url, renaming):
    migrations.migrate(url)
    plan = migrations.plan_reversal(url, "0001")
    assert plan == [
        migrations.Reversal(LATER, ["column products.colour"]),
        migrations.Reversal(POST, []),
        migrations.Reversal(PRE, []),
    ]
    assert migrations.plan_reversal(url, PRE) == plan[:2]
    assert migrations.plan_reversal(url) == plan[:1]
    assert migrations.plan_reversal(url, LATER) == []


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("0099", f'no migration "0099"; the newest applied one is {PRE}'),
        ("items", 'no migration "items"'),
        ("0003", 'the migration "0003" is not applied'),
    ],
)
def test_a_version_that_is_not_applied_is_refused_by_name(url, renaming, version, reason):
    migrations.upgrade(url, pre_only=True)
    with pytest.raises(migrations.MigrationError, match=reason):
        migrations.plan_reversal(url, version)


def test_a_migration_of_a_newer_version_is_not_reverted_without_its_file(url, renaming, tmp_path):
    migrations.migrate(url)
    (tmp_path / f"{LATER}.up.sql").unlink()
    with pytest.raises(migrations.MigrationError, match=f"{LATER} is of another version of Beckon"):
        migrations.plan_reversal(url, FIRST)
    assert [reversal.name for reversal in migrations.plan_reversal(url, LATER)] == []


def test_a_migration_that_cannot_be_reverted_stays_and_the_error_names_the_reverted_ones(url, add, renaming):
    add(POST, "drop view items", "select 1 / 0")
    migrations.migrate(url)
    with pytest.raises(migrations.MigrationError) as error:
        migrations.revert(url, FIRST)
    assert str(error.value).startswith(
        f"migration {POST} could not be reverted and is unchanged (reverted before it: {LATER}): division by zero"
    )
    assert migrations.list_pending(url) == [LATER]


@pytest.mark.parametrize(
    ("sql", "losses"),
    [
        ("drop table a, b;", ["table a", "table b"]),
        ("drop table if exists a cascade;", ["table a"]),
        (
            "alter table a drop constraint c,\n  drop column x,\n  drop column if exists y;",
            ["column a.x", "column a.y"],
        ),
        ("delete from a where true;", ["rows of a"]),
        ("truncate table a, b;", ["rows of a", "rows of b"]),
        ("do $$ begin delete from a; end $$;", ["rows of a"]),
        ("create function f() returns void language sql as $$ delete from a $$;", []),
        ("-- drop table a;\nselect 1;", []),
        ("drop view a; drop index b; drop function f(); alter table a rename column x to y;", []),
    ],
)
def test_the_loss_of_data_is_read_from_the_statements(sql, losses):
    assert list_losses(sql) == losses


ALICES, CHARLIES, CONTACT, EXECUTION = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3, 4))

#: Of models/periodic_job.py, with values.
OLD_SUCCESS = (
    "insert into duties (name, last_succeeded_at, counts) values ('bells', beckon_now(), '{\"rung\": 1}') "
    "on conflict (name) do update set last_succeeded_at = excluded.last_succeeded_at, counts = excluded.counts, "
    "last_error = null"
)
OLD_FAILURE = (
    "insert into duties (name, last_failed_at, last_error) values ('bells', beckon_now(), 'broken') "
    "on conflict (name) do update set last_failed_at = excluded.last_failed_at, last_error = excluded.last_error"
)
OLD_SUCCESSES = "select name, last_succeeded_at from duties where last_succeeded_at is not null"
#: Of models/engine/limits.py and models/checks/retention.py.
OLD_RESERVATION = (
    "insert into cap_places (execution_id, round, workspace_id, contact_id) "
    f"values ('{EXECUTION}', 0, %s, '{CONTACT}') "
    "on conflict (execution_id, round) do update set taken_at = excluded.taken_at"
)
OLD_COUNT = f"select count(*) from cap_places p where p.contact_id = '{CONTACT}'"
OLD_REMOVAL = (
    "delete from cap_places p where taken_at < beckon_now() - interval '2 days' and not exists "
    "(select 1 from executions e where e.id = p.execution_id and e.finished_at is null)"
)


@pytest.fixture
def pre_url(url: str) -> str:
    """A database of the earlier version, changed by the pre migration alone."""
    migrations.migrate(url)
    migrations.revert(url, "0033_pre_standard_names")
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(OLD_SUCCESS)
    assert "0033_pre_standard_names" in migrations.upgrade(url, pre_only=True).applied
    return url


def run_as(url: str, role: str, *statements: str, workspace: str = ALICES) -> Any:
    """Run the statements in a program's transaction; return the rows of the last one, or how many it changed."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"set local role {role}")
        cursor.execute("select set_config('beckon.workspace', %s, true)", (workspace,))
        for statement in statements:
            cursor.execute(statement, (workspace,) if "%s" in statement else None)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def test_a_scheduler_of_the_earlier_version_records_its_jobs_after_the_pre_migration(pre_url):
    run_as(pre_url, "beckon_service", OLD_SUCCESS, OLD_FAILURE, OLD_FAILURE)
    stored = "select last_error, counts, last_succeeded_at is not null from {} where name = 'bells'"
    assert run_as(pre_url, "beckon_service", stored.format("duties")) == [("broken", {"rung": 1}, True)]
    assert run_as(pre_url, "beckon_service", stored.format("periodic_jobs")) == [("broken", {"rung": 1}, True)]
    assert "bells" in dict(run_as(pre_url, "beckon_app", OLD_SUCCESSES))


def test_a_renamed_job_keeps_its_last_success_and_the_old_row_goes_with_the_post_migration(pre_url):
    names = "select name from periodic_jobs where last_succeeded_at is not null order by 1"
    assert run_as(pre_url, "beckon_service", names) == [("bells",), ("notifications",)]
    migrations.migrate(pre_url)
    assert run_as(pre_url, "beckon_service", names) == [("notifications",)]


def test_after_a_rollback_the_earlier_version_sees_no_success_of_a_job_that_it_does_not_have(pre_url):
    migrations.revert(pre_url, "0033_pre_standard_names")
    assert [name for name, _ in run_as(pre_url, "beckon_app", OLD_SUCCESSES)] == ["bells"]
    assert migrations.migrate(pre_url)


@pytest.mark.parametrize("role", ["beckon_service", "beckon_app"])
def test_a_worker_of_the_earlier_version_reserves_caps_after_the_pre_migration(pre_url, role):
    assert run_as(pre_url, role, OLD_RESERVATION, OLD_RESERVATION, OLD_COUNT) == [(1,)]
    assert run_as(pre_url, role, OLD_COUNT.replace("cap_places", "cap_reservations")) == [(1,)]
    run_as(pre_url, "beckon_service", "update cap_places set taken_at = taken_at - interval '3 days'")
    assert run_as(pre_url, role, OLD_REMOVAL) == 1


def test_a_view_under_an_old_name_shows_no_other_workspace_s_rows(pre_url):
    run_as(pre_url, "beckon_app", OLD_RESERVATION)
    assert run_as(pre_url, "beckon_app", OLD_COUNT, workspace=CHARLIES) == [(0,)]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="row-level security"):
        run_as(pre_url, "beckon_app", OLD_RESERVATION.replace("%s", f"'{ALICES}'"), workspace=CHARLIES)
    for statement in (OLD_SUCCESS, "delete from duties"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"):
            run_as(pre_url, "beckon_app", statement)


def test_the_old_procedure_transfers_functions_until_the_post_migration(pre_url):
    with closing(psycopg2.connect(pre_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("create function count_all() returns bigint language sql security definer as 'select 1::bigint'")
        cursor.execute("call hand_functions_over()")
        cursor.execute("select proowner::regrole::text from pg_proc where proname = 'count_all'")
        assert cursor.fetchone() == ("beckon_service",)
