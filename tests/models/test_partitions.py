"""Executions and steps become partitioned as they are: rows stay where they are, and statements see one table."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from models import migrations
from models.ids import new_id
from tests.support.rows import fetch_rows

FOLDER = migrations.FOLDER
BEFORE = "0090"
TABLES = ("executions", "steps")

_INSERT = """
    insert into workspaces (id, slug, name) values (%(id)s, 'alice', 'Alice') on conflict do nothing;
    insert into automations (id, workspace_id, name, type) values (%(id)s, %(id)s, 'Hello', 'workflow')
        on conflict do nothing;
    insert into executions (id, workspace_id, automation_id, version_id, version, trigger_id, stage_since, queue,
        rung_at, due_at, created_at)
    values (%(execution)s, %(id)s, %(id)s, %(id)s, 1, %(id)s, now(), 'sending', now(), now(), now());
    insert into steps (execution_id, step_id, workspace_id, action, status)
    values (%(execution)s, 'hello', %(id)s, 'send_email', 'running')
"""
#: Indexes of partitions that are part of no index of the whole table.
_OWN_INDEXES = """
    select i.indexrelid::regclass::text from pg_inherits p join pg_index i on i.indrelid = p.inhrelid
    where p.inhparent = %s::regclass and not exists (select from pg_inherits x where x.inhrelid = i.indexrelid)
"""


@pytest.fixture
def earlier(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of the version before the tables were partitioned; `migrations.migrate` upgrades it."""
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    for file in FOLDER.glob("*.sql"):
        if file.name < BEFORE:
            shutil.copy(file, tmp_path)
    migrations.migrate(url)
    monkeypatch.setattr(migrations, "FOLDER", FOLDER)
    return url


def run(url: str, *statements: str, **values: Any) -> list[tuple[Any, ...]]:
    """Run statements as the service, and return the rows of the last one."""
    with closing(psycopg2.connect(url)) as owner, owner, owner.cursor() as cursor:
        cursor.execute("set local role beckon_service")
        for statement in statements:
            cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def test_a_filled_table_becomes_the_first_partition_without_a_copy(earlier: str) -> None:
    ids = [new_id() for _ in range(3)]
    for id in ids:
        run(earlier, _INSERT, id=ids[0], execution=id)
    files = dict(run(earlier, "select relname, relfilenode from pg_class where relname in ('executions', 'steps')"))

    migrations.migrate(earlier)

    for table in TABLES:
        parts = run(earlier, "select relname, relfilenode from pg_class c join pg_inherits i on i.inhrelid = c.oid "
                    f"where i.inhparent = '{table}'::regclass")  # fmt: skip
        assert files[table] in dict(parts).values()
        assert run(earlier, _OWN_INDEXES.replace("%s", f"'{table}'")) == []
    assert run(earlier, "select id::text from executions order by id") == [(id,) for id in ids]
    assert run(earlier, "select count(*) from automation_contact_states") == [(3,)]


def test_a_reverted_partitioning_keeps_every_row(earlier: str) -> None:
    old, new = new_id(), new_id()
    run(earlier, _INSERT, id=old, execution=old)
    migrations.migrate(earlier)
    run(earlier, _INSERT, id=old, execution=new)
    migrations.revert(earlier, "0092_pre_partitions")

    assert run(earlier, "select relkind from pg_class where relname = 'executions'") == [("r",)]
    assert run(earlier, "select e.id::text from executions e join steps s on s.execution_id = e.id order by 1") == [
        (old,), (new,),
    ]  # fmt: skip
    assert run(earlier, "select count(*) from analytics_changes where subject = 'executions'") == [(2,)]
    migrations.migrate(earlier)
    assert run(earlier, "select count(*) from executions") == [(2,)]


def test_an_id_of_the_future_stops_the_partitioning_before_it_begins(earlier: str) -> None:
    id = new_id()
    run(earlier, _INSERT, id=id, execution="ffffffff-0000-4000-8000-000000000000")
    with pytest.raises(migrations.MigrationError, match="ids of the future"):
        migrations.migrate(earlier)
    run(earlier, _INSERT, id=id, execution=new_id())


@pytest.mark.parametrize("statement", [
    "select * from executions where id = %(id)s",
    "select * from executions where id = any(array[%(id)s]::uuid[])",
    "select * from steps where execution_id = %(id)s",
])  # fmt: skip
def test_a_look_up_by_an_execution_reads_one_partition(as_service: None, statement: str) -> None:
    plan = fetch_rows(f"explain {statement}", {"id": new_id()})
    scans = [row["QUERY PLAN"] for row in plan if " on " in row["QUERY PLAN"]]
    assert len([scan for scan in scans if "Bitmap Index Scan" not in scan]) == 1
