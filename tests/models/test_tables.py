"""The peewee models and the migrated schema are the same: columns, keys, checks and indexes, in both directions.

The schema of the models is built beside the migrated one, in a schema of its own, and PostgreSQL describes both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import peewee
import psycopg2
import pytest

from models import tables
from models.tables import TABLES, fields

#: Written by playhouse's migration runner, whose own model describes it.
FOREIGN = {"schema_migrations"}
COLUMNS = """
    select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), a.attgenerated
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = %s::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
"""
CONSTRAINTS = """
    select c.relname, k.conname, pg_get_constraintdef(k.oid) from pg_constraint k join pg_class c on c.oid = k.conrelid
    where c.relnamespace = %s::regnamespace and not c.relispartition and k.contype <> 'n'
"""
INDEXES = """
    select c.relname, pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relnamespace = %s::regnamespace and not c.relispartition
"""
PARTITIONS = """
    select relname, pg_get_partkeydef(oid) from pg_class where relnamespace = %s::regnamespace and relkind = 'p'
"""


class Catalogs:
    """A transaction in which the models' schema stands beside the migrated one."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def build(self, models: tuple[type[tables.Table], ...] = TABLES) -> None:
        """Create the models' tables in the schema `declared`, anew."""
        self._cursor.execute(
            "set local client_min_messages = warning; set local search_path = public; "
            "drop schema if exists declared cascade; create schema declared; set local search_path = declared, public"
        )
        for model in models:
            for statement in list_statements(model):
                self._cursor.execute(statement)

    def change(self, statement: str) -> None:
        """Change the migrated schema for the rest of the transaction."""
        self._cursor.execute(f"set local search_path = public; {statement}")

    def list_differences(self) -> list[tuple[str, ...]]:
        """The facts that only one of the two schemas has, each with its side."""
        migrated, declared = self._describe("public"), self._describe("declared")
        return sorted(
            [("only migrated", *fact) for fact in migrated - declared]
            + [("only declared", *fact) for fact in declared - migrated]
        )

    def _describe(self, schema: str) -> set[tuple[str, ...]]:
        facts = set()
        for query in (COLUMNS, CONSTRAINTS, INDEXES, PARTITIONS):
            self._cursor.execute(query, (schema,))
            facts |= {tuple(normalize(str(value)) for value in row) for row in self._cursor.fetchall()}
        return {fact for fact in facts if fact[0] not in FOREIGN}


def normalize(text: str) -> str:
    """`text` without the schema's name, and with lists of values in one order."""
    text = text.replace("declared.", "").replace("public.", "")
    return re.sub(r"ARRAY\[(.*?)\]", lambda match: f"ARRAY[{sorted(match[1].split(', '))}]", text)


def list_statements(model: type[tables.Table]) -> list[str]:
    """The statements that create a model's table and indexes."""
    schema = model._schema
    queries = [schema._create_table(safe=False), *schema._create_indexes(safe=False)]
    return [query.query()[0] for query in queries]


@pytest.fixture
def catalogs(database_urls: Any) -> Iterator[Catalogs]:
    """Both catalogs; nothing of it stays."""
    with closing(psycopg2.connect(database_urls.owner)) as connection, connection.cursor() as cursor:
        result = Catalogs(cursor)
        result.build()
        yield result
        connection.rollback()


def test_the_models_describe_the_migrated_schema(catalogs):
    assert catalogs.list_differences() == []


def test_every_table_has_a_model_with_a_docstring():
    assert len({model._meta.table_name for model in TABLES}) == len(TABLES)
    assert [model.__name__ for model in TABLES if not model.__doc__] == []


MIGRATED_CHANGES = {
    "a column": "alter table contacts add column nickname text",
    "no column": "alter table contacts drop column timezone",
    "a type": "alter table messages alter column look_ups type bigint",
    "a null": "alter table messages alter column body drop not null",
    "a default": "alter table workspaces alter column timezone drop default",
    "a key": "alter table memberships drop constraint memberships_pkey",
    "a reference": "alter table api_keys drop constraint api_keys_workspace_id_fkey",
    "a unique key": "alter table sessions add unique (token_hash, user_id)",
    "an index": "create index contacts_by_username on contacts (username)",
    "no index": "drop index executions_newest",
    "a value": "alter table pauses drop constraint pauses_kind_check, "
    "add check (kind in ('provider', 'queue', 'channel'))",
    "a check": "alter table executions drop constraint nothing_is_stuck",
    "a table": "create table notes (id uuid primary key)",
}


@pytest.mark.parametrize("change", MIGRATED_CHANGES.values(), ids=MIGRATED_CHANGES)
def test_a_change_of_the_schema_alone_is_noticed(catalogs, change):
    before = catalogs.list_differences()
    catalogs.change(change)
    assert catalogs.list_differences() != before


def catalogs_with(catalogs: Catalogs, **columns: peewee.Field) -> list[tuple[str, ...]]:
    """The differences when the model of workspaces has these columns, too."""
    model = type("Workspace", (tables.Workspace,), {"Meta": type("Meta", (), {"table_name": "workspaces"}), **columns})
    catalogs.build(tuple(model if table is tables.Workspace else table for table in TABLES))  # type: ignore[arg-type]
    return catalogs.list_differences()


def test_a_column_of_the_models_alone_is_noticed(catalogs):
    assert catalogs_with(catalogs, nickname=fields.TextField(null=True))
    assert catalogs_with(catalogs, name=fields.TextField(null=True))
    assert catalogs_with(catalogs, timezone=fields.EnumField(("UTC",), default_sql="'UTC'"))


def test_an_index_of_the_models_alone_is_noticed(catalogs, monkeypatch):
    monkeypatch.setattr(tables.Contact._meta, "indexes", [fields.index("contacts_at on contacts (created_at)")])
    catalogs.build()
    assert ("only declared", "contacts", "CREATE INDEX contacts_at ON contacts USING btree (created_at)") in (
        catalogs.list_differences()
    )
