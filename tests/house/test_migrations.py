"""Migrations go up and down without a trace. The tests compare PostgreSQL's catalogs."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from models import migrations

UPS = sorted(migrations.FOLDER.glob("*.up.sql"))

#: Partitions are created as time passes, so two databases need not have the same ones.
_APPLICATION_RELATIONS = (
    "c.relnamespace = 'public'::regnamespace "
    r"and c.relname !~ '^(stage_history|automation_runs|executions|steps)_\d{4}_\d{2}'"
)
#: Each query returns one line of text per object of its kind.
CATALOG = {
    "tables": f"""
        select format('%s %s secured=%s forced=%s options=%s owner=%s', c.relkind, c.relname, c.relrowsecurity,
            c.relforcerowsecurity, c.reloptions, pg_get_userbyid(c.relowner))
        from pg_class c where {_APPLICATION_RELATIONS} and c.relkind in ('r', 'p', 'v', 'm', 'S')""",
    "columns": f"""
        select format('%s.%s %s not null=%s default=%s generated=%s', c.relname, a.attname,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where {_APPLICATION_RELATIONS} and c.relkind in ('r', 'p', 'v', 'm')""",
    "order of columns": f"""
        select format('%s (%s)', c.relname, string_agg(a.attname, ', ' order by a.attnum))
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where {_APPLICATION_RELATIONS} and c.relkind in ('r', 'p') group by c.relname""",
    "constraints": f"""
        select format('%s %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
        from pg_constraint k join pg_class c on c.oid = k.conrelid where {_APPLICATION_RELATIONS}""",
    "indexes": f"""
        select pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid
        where {_APPLICATION_RELATIONS}""",
    "views": f"""
        select format('%s %s', c.relname, pg_get_viewdef(c.oid)) from pg_class c
        where {_APPLICATION_RELATIONS} and c.relkind = 'v'""",
    "triggers": f"""
        select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where {_APPLICATION_RELATIONS} and not t.tgisinternal""",
    "policies": """
        select format('%s %s %s %s %s %s %s', tablename, policyname, permissive, roles, cmd, qual, with_check)
        from pg_policies where schemaname = 'public'""",
    "functions": """
        select pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace = 'public'::regnamespace
            and p.prokind in ('f', 'p')""",
    "owners of functions": """
        select format('%s %s', p.oid::regprocedure, pg_get_userbyid(p.proowner)) from pg_proc p
        where p.pronamespace = 'public'::regnamespace""",
    "grants on tables": f"""
        select format('%s to %s: %s', c.relname, coalesce(nullif(a.grantee, 0)::regrole::text, 'public'),
            a.privilege_type)
        from pg_class c cross join aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
        where {_APPLICATION_RELATIONS} and c.relkind in ('r', 'p', 'v', 'm')""",
    "grants on functions": """
        select format('%s to %s: %s', p.oid::regprocedure, coalesce(nullif(a.grantee, 0)::regrole::text, 'public'),
            a.privilege_type)
        from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = 'public'::regnamespace""",
    "grants on the schema": """
        select format('%s: %s', coalesce(nullif(a.grantee, 0)::regrole::text, 'public'), a.privilege_type)
        from pg_namespace n cross join aclexplode(n.nspacl) a where n.nspname = 'public'""",
}

Catalog = dict[str, list[str]]


def read_catalog(url: str) -> Catalog:
    """Everything in the schema as PostgreSQL describes it, one sorted line per object."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        result = {}
        for kind, sql in CATALOG.items():
            cursor.execute(sql)
            result[kind] = sorted(line for (line,) in cursor.fetchall())
        return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of migrations, which the test fills."""
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    return tmp_path


#: Names of before migration 0033; views stand under the tables' for one version.
OLD_TABLES = ("duties", "cap_places")
OLD_NAMES = (*OLD_TABLES, "hand_functions_over")


def test_an_old_name_in_the_schema_is_a_view_at_most(database_urls):
    catalog = read_catalog(database_urls.owner)
    names = "constraints", "indexes", "policies", "functions", "order of columns"
    assert not [line for kind in names for line in catalog[kind] if any(name in line for name in OLD_NAMES)]
    assert {line.split(" ")[0] for line in catalog["views"]} >= set(OLD_TABLES)


def test_every_migration_is_numbered_once_and_reversible():
    downs = {file.name.replace(".down.sql", ".up.sql") for file in migrations.FOLDER.glob("*.down.sql")}
    numbers = [file.name.split("_")[0] for file in UPS]
    assert {file.name for file in UPS} == downs
    assert len(set(numbers)) == len(numbers)
    assert all(len(number) == 4 and number.isdigit() for number in numbers)


def test_a_migrated_schema_equals_a_fresh_one(url, database_urls):
    fresh = read_catalog(database_urls.owner)
    migrations.migrate(url)
    migrations.revert(url, UPS[0].name.removesuffix(".up.sql"))
    migrations.migrate(url)
    migrated = read_catalog(url)
    assert migrated == fresh
    assert all(migrated[kind] for kind in CATALOG.keys() - {"views", "triggers"}), "the catalog was not read"


def test_every_migration_reverts_to_the_schema_before_it(url, folder):
    before: list[Catalog] = []
    migrations.migrate(url)
    for up in UPS:
        before.append(read_catalog(url))
        for file in (up, up.with_name(up.name.replace(".up.sql", ".down.sql"))):
            shutil.copy(file, folder)
        assert migrations.migrate(url) == [up.name.removesuffix(".up.sql")]
    for up, expected in zip(reversed(UPS), reversed(before), strict=True):
        assert migrations.revert(url) == [up.name.removesuffix(".up.sql")]
        assert read_catalog(url) == expected, f"{up.name} leaves something behind"


def test_the_invitations_migration_verifies_the_first_owner_only(url, folder):
    for up in UPS:
        if up.name < "0022":
            for file in (up, up.with_name(up.name.replace(".up.sql", ".down.sql"))):
                shutil.copy(file, folder)
    migrations.migrate(url)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into users (id, email, password_hash, deployment_owner) values "
            "(gen_random_uuid(), 'first@example.com', 'none', true), "
            "(gen_random_uuid(), 'bob@example.com', 'none', false)"
        )
    shutil.copytree(UPS[0].parent, folder, dirs_exist_ok=True)
    migrations.migrate(url)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("select email from users where verified_at is not null")
        assert cursor.fetchall() == [("first@example.com",)]
        cursor.execute("update users set email = null where email = 'bob@example.com'")
    migrations.revert(url, "0022_invitations")
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from users where email like '%@removed.invalid'")
        assert cursor.fetchone() == (1,)


def test_a_second_migration_changes_nothing(url):
    assert migrations.migrate(url) == [up.name.removesuffix(".up.sql") for up in UPS]
    assert migrations.migrate(url) == []
    assert migrations.list_pending(url) == []


def test_a_migration_edited_after_it_was_applied_is_refused(url, folder):
    for file in UPS:
        shutil.copy(file, folder)
    migrations.migrate(url)
    (folder / UPS[0].name).write_text("select 1;", encoding="utf-8")
    with pytest.raises(migrations.MigrationError, match=UPS[0].name.removesuffix(".up.sql")):
        migrations.migrate(url)


def test_a_migration_that_fails_leaves_nothing_behind(url, folder):
    (folder / "0001_broken.up.sql").write_text("create table half (); select 1 / 0;", encoding="utf-8")
    (folder / "0001_broken.down.sql").write_text("drop table half;", encoding="utf-8")
    with pytest.raises(migrations.MigrationError, match="division by zero"):
        migrations.migrate(url)
    assert migrations.list_pending(url) == ["0001_broken"]
    assert not any("half" in line for line in read_catalog(url)["tables"])
