"""Waits for PostgreSQL: one that hangs, a connection that is dead, and a statement that only takes long."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg2
import pytest

from models import database, server_waits
from models.database import CONNECTION_ERRORS, acting_as, connection, db, transaction
from models.queries import execute, fetch_value
from models.server_waits import Patience, ServerHangs
from tests.support.fault_proxy import FaultProxy
from tests.support.poolers import needs_pgbouncer, parse_socket_path, pooler, with_socket
from tests.support.waiting import eventually

#: A wait asks soon; the answer has the time that a busy machine needs.
IMPATIENT = Patience(0.2, 3.0)
#: A server that hangs has no answer however long one waits.
HASTY = Patience(0.1, 0.3)
NAME = "select name from workspaces where id = %s"
RENAME = "update workspaces set name = 'Renamed' where id = %s"
_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@pytest.fixture
def impatient() -> Iterator[None]:
    """This process asks soon."""
    server_waits.set_up(patience=IMPATIENT)
    yield
    server_waits.set_up()


@pytest.fixture
def proxy(database_urls: Any, alices: str, impatient: None) -> Iterator[FaultProxy]:
    """A proxy between this process's pool and PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="beckon-line-") as directory:
        fault_proxy = FaultProxy(Path(directory) / ".s.PGSQL.5432", parse_socket_path(database_urls.service))
        database.db.close_all()
        database.open_pool(with_socket(database_urls.service, Path(directory), 5432), "beckon_service", 2)
        yield fault_proxy
        fault_proxy.close()
        database.db.close_all()


@pytest.mark.parametrize("with_first", [False, True])
def test_a_transaction_begins_again_when_its_connection_is_dead(
    proxy: FaultProxy, alices: str, with_first: bool
) -> None:
    with connection():
        fetch_value("select 1")
        proxy.freeze()
        with acting_as(alices, with_first=with_first):
            assert execute(RENAME, (alices,)) == 1
        assert fetch_value(NAME, (alices,)) == "Renamed"


def test_a_query_on_a_dead_connection_is_asked_again(proxy: FaultProxy, alices: str) -> None:
    with connection():
        fetch_value("select 1")
        proxy.freeze()
        assert fetch_value(NAME, (alices,)) == "Alice's shop"


def test_a_change_on_a_dead_connection_is_not_repeated(proxy: FaultProxy, alices: str) -> None:
    with connection():
        fetch_value("select 1")
        proxy.freeze()
        with pytest.raises(CONNECTION_ERRORS, match="is dead"):
            execute(RENAME, (alices,))
        assert fetch_value(NAME, (alices,)) == "Alice's shop"


def test_a_transaction_sent_whole_on_a_dead_connection_is_not_repeated(proxy: FaultProxy, alices: str) -> None:
    with connection():
        fetch_value("select 1")
        proxy.freeze()
        with pytest.raises(CONNECTION_ERRORS, match="is dead"), acting_as(alices, with_first=True):
            db.execute_calls([(RENAME, (alices,))], commits=True)
    assert fetch_value(NAME, (alices,)) == "Alice's shop"


def test_a_transaction_that_dies_in_the_middle_fails_and_leaves_no_lock(proxy: FaultProxy, alices: str) -> None:
    with pytest.raises(CONNECTION_ERRORS, match="is dead"):
        _rename_and_freeze(proxy, alices)
    with transaction():
        execute("set local lock_timeout = '5s'")
        assert fetch_value(f"{NAME} for update", (alices,)) == "Alice's shop"


def _rename_and_freeze(proxy: FaultProxy, workspace_id: str) -> None:
    with transaction():
        execute(RENAME, (workspace_id,))
        proxy.freeze()
        fetch_value("select 1")


def test_an_idle_connection_is_asked_before_it_is_used(
    proxy: FaultProxy, alices: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection():
        fetch_value("select 1")
    proxy.freeze()
    monkeypatch.setattr(database, "QUIET_SECONDS", 0.0)
    with connection():
        assert execute(RENAME, (alices,)) == 1


def wait_for_lock(owner_url: str, workspace_id: str) -> None:
    """Rename a workspace that another locks for longer than a silence that is asked about."""
    with closing(psycopg2.connect(owner_url)) as other, other.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("select 1 from workspaces where id = %s for update", (workspace_id,))
        before = server_waits.server.queries
        renamed = pool.submit(_rename, workspace_id)
        eventually(lambda: _count_waiting(owner_url) and server_waits.server.queries > before)
        other.rollback()
        assert renamed.result(10) == 1


def _rename(workspace_id: str) -> int:
    with connection():
        return execute(RENAME, (workspace_id,))


def _count_waiting(owner_url: str) -> int:
    with closing(psycopg2.connect(owner_url)) as other, other.cursor() as cursor:
        cursor.execute(_WAITING)
        return int(cursor.fetchone()[0])


def test_a_statement_that_waits_for_a_lock_is_not_given_up(proxy: FaultProxy, database_urls: Any, alices: str) -> None:
    wait_for_lock(database_urls.owner, alices)


@needs_pgbouncer
def test_a_statement_behind_a_pooler_is_not_given_up(database_urls: Any, alices: str, impatient: None) -> None:
    with pooler(database_urls.service, ignore_startup_parameters=False) as url:
        database.db.close_all()
        database.open_pool(url, "beckon_service", 2)
        wait_for_lock(database_urls.owner, alices)
        database.db.close_all()


@needs_pgbouncer
def test_a_dead_connection_to_a_pooler_is_replaced(database_urls: Any, alices: str, impatient: None) -> None:
    with (
        pooler(database_urls.service, ignore_startup_parameters=False) as url,
        tempfile.TemporaryDirectory(prefix="beckon-line-") as directory,
    ):
        upstream = Path(parse_qs(urlsplit(url).query)["host"][0]) / ".s.PGSQL.6432"
        proxy = FaultProxy(Path(directory) / ".s.PGSQL.5432", upstream)
        database.db.close_all()
        database.open_pool(with_socket(url, Path(directory), 5432), "beckon_service", 2)
        with connection():
            fetch_value("select 1")
            proxy.freeze()
            with acting_as(alices):
                assert execute(RENAME, (alices,)) == 1
        database.db.close_all()
        proxy.close()


def test_a_server_that_hangs_is_refused_at_once_until_it_answers(proxy: FaultProxy, alices: str) -> None:
    with connection():
        fetch_value("select 1")
    server_waits.set_up(patience=HASTY)
    with proxy.stall():
        with pytest.raises(CONNECTION_ERRORS, match="does not answer"), transaction():
            execute(RENAME, (alices,))
        before = server_waits.server.queries
        with pytest.raises(CONNECTION_ERRORS, match="does not answer"), transaction():
            execute(RENAME, (alices,))
        assert server_waits.server.queries == before, "nobody waits again"
    server_waits.set_up(patience=IMPATIENT)
    eventually(lambda: _renames(alices))


def _renames(workspace_id: str) -> bool:
    try:
        return _rename(workspace_id) == 1
    except CONNECTION_ERRORS:
        return False


def test_a_socket_that_accepts_and_is_silent_ends_a_connection_attempt(impatient: None, database_urls: Any) -> None:
    server_waits.set_up(patience=HASTY)
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/.s.PGSQL.5432")
        listener.listen()
        database.open_pool(with_socket(database_urls.service, Path(directory), 5432), "beckon_service", 2)
        with pytest.raises(ServerHangs):
            database.open_dedicated_connection()
        db.close_all()
