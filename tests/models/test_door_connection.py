"""A door's own connection: replaced when it was lost, and when the process opens another pool."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest

import settings
from models import database
from models.engine.door_connection import DoorConnection
from models.queries import fetch_value

BACKEND = "select pg_backend_pid()"


@pytest.fixture
def door(as_service: None) -> Iterator[DoorConnection]:
    connection = DoorConnection()
    yield connection
    connection.close()


def test_statements_share_one_connection_and_act_as_the_program_s_role(door: DoorConnection) -> None:
    assert door.fetch_values(BACKEND, ()) == door.fetch_values(BACKEND, ())
    assert door.fetch_values("select current_user::text", ()) == ["beckon_service"]


def test_a_connection_that_was_lost_meanwhile_is_replaced_unnoticed(door: DoorConnection) -> None:
    (first,) = door.fetch_values(BACKEND, ())
    with database.transaction():
        assert fetch_value("select pg_terminate_backend(%s)", (first,))
    (second,) = door.fetch_values(BACKEND, ())
    assert second != first


def test_a_statement_that_loses_two_connections_raises(door: DoorConnection) -> None:
    with pytest.raises(psycopg2.OperationalError):
        door.fetch_values("select pg_terminate_backend(pg_backend_pid())", ())
    assert len(door.fetch_values(BACKEND, ())) == 1


def test_an_error_of_the_statement_keeps_the_connection(door: DoorConnection) -> None:
    (first,) = door.fetch_values(BACKEND, ())
    with pytest.raises(psycopg2.DataError):
        door.fetch_values("select %s::integer", ("x",))
    assert door.fetch_values(BACKEND, ()) == [first]


def test_another_pool_has_a_connection_of_its_own(door: DoorConnection) -> None:
    (first,) = door.fetch_values(BACKEND, ())
    database.open_pool(settings.load().database_app_url, "beckon_app", 2)
    assert door.fetch_values(BACKEND, ()) != [first]
    assert door.fetch_values("select current_user::text", ()) == ["beckon_app"]
