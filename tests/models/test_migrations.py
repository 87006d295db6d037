"""Pre and post migrations, and the way back: old and new code run together until the post migrations are applied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
