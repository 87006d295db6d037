"""Queries return typed rows, and refuse a type that does not describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import psycopg2
import pytest
from peewee import fn

from models import database, site_key
from models.database import acting_as
from models.expressions import is_any
from models.queries import call, count, execute, exists, fetch, fetch_first, fetch_value, fetch_values
from models.tables import Contact, SiteKey, Workspace


class NameRow(TypedDict):
    id: str
    name: str


@dataclass(frozen=True)
class Shop:
    id: str
    name: str


class OriginsRow(TypedDict):
    id: str
    workspace_id: str
    origins: list[str]


def test_rows_of_an_expression_and_of_sql_are_the_same(alices):
    query = Workspace.select(Workspace.id, Workspace.name)
    assert fetch(NameRow, query) == [{"id": alices, "name": "Alice's shop"}]
    assert fetch(NameRow, "select id, name from workspaces where id = %s", (alices,)) == fetch(NameRow, query)
    assert fetch_first(NameRow, query.where(Workspace.slug == "nobody")) is None


def test_rows_may_be_dataclasses(alices):
    query = Workspace.select(Workspace.name, Workspace.id)
    assert fetch(Shop, query) == [Shop(alices, "Alice's shop")]
    assert fetch_first(Shop, query.where(Workspace.slug == "nobody")) is None
    with pytest.raises(TypeError, match="the query returns id; Shop has id, name"):
        fetch(Shop, Workspace.select(Workspace.id))


@pytest.mark.parametrize("columns", ["id", "id, name, slug", "id, slug", "id, id"])
def test_a_type_that_does_not_describe_the_rows_is_refused(alices, columns):
    with pytest.raises(TypeError, match="NameRow has id, name"):
        fetch(NameRow, f"select {columns} from workspaces")


def test_values_and_counts(alices):
    slugs = Workspace.select(Workspace.slug)
    assert fetch_value(slugs) == "alice"
    assert fetch_values(slugs) == ["alice"]
    assert fetch_value(slugs.where(Workspace.slug == "nobody")) is None
    assert execute(Workspace.update(name="Shop").where(Workspace.id == alices)) == 1
    assert (
        count(slugs),
        count(slugs.where(is_any(Workspace.id, []))),
        count(slugs.where(is_any(Workspace.id, [alices]))),
    ) == (1, 0, 1)
    assert (exists(slugs), exists(slugs.where(Workspace.slug == "nobody"))) == (True, False)


def test_a_function_returns_rows_or_a_value(alices):
    site_key.issue(alices, "Shop", ["https://shop.example"])
    key = fetch_value(SiteKey.select(SiteKey.key))
    assert [row["origins"] for row in fetch(OriginsRow, call(fn.find_site_key(key)))] == [["https://shop.example"]]
    assert fetch_value(call(fn.lower("A"))) == "a"


def test_every_type_of_a_column_survives(alices):
    values = {
        "id": "00000000-0000-7000-8000-000000000001",
        "workspace_id": alices,
        "tags": ["vip", "a, b", 'q"'],
        "attributes": {"plan": "pro", "n": [1, None], "text": "100 % ü"},
        "email": "o'hara@example.com",
    }
    with acting_as(alices):
        execute(Contact.insert(**values))
        assert fetch_value(Contact.select(Contact.tags)) == values["tags"]
        assert fetch_value(Contact.select(Contact.attributes)) == values["attributes"]
        execute(Contact.update(attributes=Contact.attributes.concat({"plan": "free"})))
        assert fetch_value(Contact.select(Contact.attributes))["plan"] == "free"
        assert fetch_value(Contact.select(Contact.created_at)).tzinfo is not None


def test_an_insertion_returns_nothing_unless_asked(alices):
    statement = Workspace.insert(id="00000000-0000-7000-8000-000000000002", slug="bob", name="Bob")
    assert "RETURNING" not in statement.sql()[0]
    assert fetch_value(statement.returning(Workspace.slug)) == "bob"


class PendingRow(TypedDict):
    pending: int


def test_a_call_s_rows_are_read_by_the_names_of_their_type(as_service):
    """A later version's function may return more columns."""
    assert fetch_first(PendingRow, call(fn.engine_facts(), PendingRow)) == {"pending": 0}


class _LostConnection:
    """A parameter whose statement ends as one does whose server dies: psycopg2 raises a bare DatabaseError."""

    def __conform__(self, _protocol: object) -> None:
        raise psycopg2.DatabaseError("server closed the connection unexpectedly")


@pytest.mark.usefixtures("as_service")
def test_a_lost_connection_is_one_whatever_class_psycopg2_gives_it() -> None:
    with pytest.raises(database.CONNECTION_ERRORS, match="server closed"):
        database.db.execute_sql("select %s", (_LostConnection(),))
    with pytest.raises(database.CONNECTION_ERRORS), database.db.connection().cursor() as cursor:
        database.db.execute_bound(cursor, "select %s", (_LostConnection(),))
