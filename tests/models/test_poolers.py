"""Nothing depends on session state: row security, the clock and the timeouts hold through a pooler that gives every
transaction another session, whatever state it has; and a connection with another role reads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

import clock
import settings
from models import api_key, database, leadership, migrations
from models.checks import verification
from models.database import RoleMismatch, acting_as, connection, snapshot, transaction
from models.engine.group_commit import GroupCommit
from models.queries import fetch_value
from tests.support import servers as real
from tests.support.concurrency import claim
from tests.support.poolers import needs_pgbouncer, pooler, postgres_proxy
from tests.support.rows import fetch_row

COUNT_WORKSPACES = "select count(*) from workspaces"


@pytest.fixture(scope="module", params=[False, True], ids=["options rejected", "options ignored"])
def pooler_url(request: pytest.FixtureRequest, database_urls: Any) -> Iterator[str]:
    """The owner's URL through pgbouncer, which rejects startup options or drops them."""
    with pooler(database_urls.owner, ignore_startup_parameters=request.param) as url:
        yield url


@pytest.fixture(params=["a login of its own", "the owner's"])
def login(request: pytest.FixtureRequest) -> Any:
    """A function that builds a role's login URL from the owner's."""
    uses_own_login = request.param != "the owner's"
    return lambda url, role: real.with_user(url, role) if uses_own_login else url


@pytest.fixture
def pool_cleanup() -> Iterator[None]:
    """Close the process's pool at the end, whatever its URL."""
    yield
    database.db.close_all()


def _leave_behind(url: str, *statements: str) -> None:
    """Run statements as another client on each of the pooler's two connections, without undoing them."""
    with closing(psycopg2.connect(url)) as first, closing(psycopg2.connect(url)) as second:
        for client in (first, second):
            # Both hold a transaction at the same time, so each has its own connection.
            client.cursor().execute("begin; select 1")
        for client in (first, second):
            for statement in statements:
                client.cursor().execute(statement)
            client.commit()


@needs_pgbouncer
def test_charlie_sees_nothing_of_alice_s_through_a_pooler(pooler_url, login, alices, charlies, pool_cleanup):
    database.open_pool(login(pooler_url, "beckon_app"), "beckon_app", 4)
    with acting_as(charlies):
        assert fetch_row("select current_user as acting, count(*) as seen from workspaces group by 1") == {
            "acting": "beckon_app", "seen": 1,
        }  # fmt: skip
        assert fetch_value(f"{COUNT_WORKSPACES} where id = %s", (alices,)) == 0
    with transaction():
        assert fetch_value(COUNT_WORKSPACES) == 0
    with connection():
        assert fetch_value(COUNT_WORKSPACES) == 0
        assert fetch_value("select current_user") == "beckon_app"


@needs_pgbouncer
def test_session_settings_of_another_client_have_no_effect(pooler_url, login, alices, pool_cleanup):
    url = login(pooler_url, "beckon_app")
    statements = [
        f"set beckon.workspace = '{alices}'", "set beckon.clock_offset = '86400'", "set timezone = 'Asia/Tokyo'",
        "set statement_timeout = '1h'",
    ]  # fmt: skip
    _leave_behind(url, *statements)
    database.open_pool(url, "beckon_app", 4)
    for scope in (transaction, connection):
        with scope():
            assert fetch_value(COUNT_WORKSPACES) == 0
            assert fetch_value("select beckon_now() - now()") == timedelta(0)
            assert fetch_value("show timezone") == "UTC"
            assert fetch_value("show statement_timeout") == "30s"


@needs_pgbouncer
@pytest.mark.parametrize(
    "statements",
    [
        ("create temp table workspaces (id uuid)", "create temp table api_keys (id uuid)"),
        ("set search_path = pg_temp, pg_catalog",),
        ("set row_security = off",),
        ("set session characteristics as transaction isolation level serializable",),
        ("set lock_timeout = 1",),
        ("set synchronous_commit = off",),
    ],
    ids=lambda statements: statements[0],
)
def test_settings_and_tables_of_another_session_change_no_transaction(
    pooler_url, login, alices, pool_cleanup, statements
):
    url = login(pooler_url, "beckon_app")
    _leave_behind(url, *statements)
    database.open_pool(url, "beckon_app", 4)
    for scope in (transaction, connection):
        with scope():
            assert fetch_value(COUNT_WORKSPACES) == 0
            assert fetch_value("show search_path") == "public, pg_temp"
            assert fetch_value("show row_security") == "on"
            assert fetch_value("show transaction_isolation") == "read committed"
            assert fetch_value("show lock_timeout") == "0"
            assert fetch_value("show synchronous_commit") == "on"
    with acting_as(alices):
        assert fetch_value(COUNT_WORKSPACES) == 1


@pytest.mark.parametrize("synchronous_commit", ["local", "remote_write", "remote_apply"])
def test_a_durability_set_by_the_operator_is_kept(database_urls, pool_cleanup, synchronous_commit):
    options = quote(f"-c synchronous_commit={synchronous_commit}")
    database.open_pool(f"{database_urls.app}&options={options}", "beckon_app", 2)
    for scope in (transaction, connection):
        with scope():
            assert fetch_value("show synchronous_commit") == synchronous_commit


@pytest.mark.parametrize("scope", [transaction, connection, snapshot])
def test_session_defaults_of_a_server_or_url_have_no_effect(database_urls, alices, pool_cleanup, scope):
    session_options = (f"-c timezone=Asia/Tokyo -c beckon.workspace={alices} "
                     "-c beckon.clock_offset=86400 -c idle_in_transaction_session_timeout=1")  # fmt: skip
    database.open_pool(f"{database_urls.app}&options={quote(session_options)}", "beckon_app", 2)
    with scope():
        assert fetch_value("show timezone") == "UTC"
        assert fetch_value("show idle_in_transaction_session_timeout") == "1min"
        assert fetch_value("select beckon_now() - now()") == timedelta(0)
        assert fetch_value(COUNT_WORKSPACES) == 0


@needs_pgbouncer
def test_a_session_role_of_another_client_does_not_act(pooler_url, alices, pool_cleanup):
    _leave_behind(pooler_url, "set role beckon_service")
    database.open_pool(pooler_url, "beckon_app", 4)
    for scope in (transaction, connection):
        with scope():
            assert fetch_value("select current_user") == "beckon_app"
            assert fetch_value(COUNT_WORKSPACES) == 0


@needs_pgbouncer
def test_the_clock_is_ahead_through_a_pooler(pooler_url, login, as_service, pool_cleanup, monkeypatch):
    monkeypatch.setattr(clock, "OFFSET_SECONDS", 3600.0)
    database.open_pool(login(pooler_url, "beckon_service"), "beckon_service", 4)
    for scope in (transaction, connection, snapshot):
        with scope():
            assert fetch_value("select beckon_now() - now()") == timedelta(hours=1)


@needs_pgbouncer
def test_keys_and_the_verification_work_through_a_pooler(pooler_url, login, alices, pool_cleanup):
    secret = api_key.issue(alices, "key").secret
    database.open_pool(login(pooler_url, "beckon_app"), "beckon_app", 4)
    opened = api_key.find(secret)
    assert opened is not None
    assert opened.workspace_id == alices
    database.open_pool(login(pooler_url, "beckon_service"), "beckon_service", 4)
    assert all(finding.holds for finding in verification.verify())


@needs_pgbouncer
def test_group_commit_works_unprepared_behind_a_pooler(pooler_url, login, alices, pool_cleanup):
    url = login(pooler_url, "beckon_service")
    database.open_pool(url, "beckon_service", 4)
    group_commit = GroupCommit("worker", 30.0)
    try:
        assert claim(group_commit, "00000000-0000-7000-8000-000000000000") is None
    finally:
        group_commit.close()
    with connection():
        assert fetch_value("select count(*) from pg_prepared_statements") == 0


@needs_pgbouncer
def test_migrations_through_a_pooler_are_rejected_in_one_line(pooler_url):
    with pytest.raises(migrations.MigrationError, match="pooler: migrations need the owner's direct") as error:
        migrations.migrate(pooler_url)
    assert "\n" not in str(error.value)


@needs_pgbouncer
def test_a_connection_is_direct_only_without_a_pooler(pooler_url, database_urls):
    for url, direct in ((pooler_url, False), (database_urls.owner, True)):
        with closing(psycopg2.connect(url)) as raw_connection:
            assert database.is_direct(raw_connection) is direct


@pytest.fixture
def stranger(database_urls) -> Iterator[str]:
    """The URL of a login without a role."""
    name = f"stranger_{os.getpid()}"
    real.run_sql(database_urls.owner, f"create role {name} login")
    yield real.with_user(database_urls.owner, name)
    real.run_sql(database_urls.owner, f"drop role {name}")


def test_a_login_that_may_not_act_as_the_role_is_rejected_and_reads_nothing(stranger, pool_cleanup):
    database.open_pool(stranger, "beckon_app", 2)
    nobody = "00000000-0000-7000-8000-000000000000"
    for scope in (transaction, connection, lambda: acting_as(nobody), lambda: acting_as(nobody, with_first=True)):
        with pytest.raises(RoleMismatch, match="beckon_app"), scope():
            fetch_value("select 1")
    # After the grant the pool uses the same connection.
    real.run_sql(settings.load().database_url, f"grant beckon_app to {stranger.split('//')[1].split('@')[0]}")
    with transaction():
        assert fetch_value("select current_user") == "beckon_app"


def test_a_statement_s_own_error_is_not_reported_as_the_role_s(alices, as_dashboard):
    for statement, error in (("select nothing", "does not exist"), ("truncate contacts", "permission denied")):
        with pytest.raises(database.peewee.ProgrammingError, match=error), connection():
            fetch_value(statement)


#: Simulates a pooler that loses the role: the replacement sets an unused parameter instead.
ROLE_REPLACEMENT = (b"set_config('role',", b"set_config('a.bc',")


@pytest.mark.parametrize("login", ["owner", "service"])
def test_a_connection_that_loses_its_role_is_rejected_before_it_reads(database_urls, alices, pool_cleanup, login):
    with postgres_proxy(database_urls.owner, ROLE_REPLACEMENT) as proxy:
        database.open_pool(proxy.url(getattr(database_urls, login)), "beckon_app", 2)
        for scope in (transaction, connection, lambda: acting_as(alices, with_first=True)):
            with pytest.raises(RoleMismatch, match="beckon"), scope():
                fetch_value("update workspaces set name = 'read and written' returning id")
        with pytest.raises(RoleMismatch):
            api_key.find("bk_whatever")
        # The group commit would retry as for an unavailable server, so only its one message is sent here.
        with pytest.raises(RoleMismatch), connection(), database.db.cursor() as cursor:
            database.db.execute_bound(cursor, "update workspaces set name = 'read and written'", None)
        with pytest.raises(RoleMismatch):
            leadership.take()
    database.open_pool(database_urls.service, "beckon_service", 2)
    with transaction():
        assert fetch_value("select count(*) from workspaces where name = 'read and written'") == 0


def test_binding_a_transaction_costs_no_round_trip(database_urls, alices, pool_cleanup):
    with postgres_proxy(database_urls.owner) as proxy:
        database.open_pool(proxy.url(database_urls.app), "beckon_app", 2)

        def count_queries(operation: Any) -> int:
            with connection():
                before = proxy.queries
                operation()
                return proxy.queries - before

        def query_as_alice() -> None:
            with acting_as(alices):
                assert fetch_value(COUNT_WORKSPACES) == 1

        count_queries(query_as_alice)
        assert count_queries(query_as_alice) == 3, "begin, the query, commit"
        assert count_queries(lambda: api_key.find("bk_whatever")) == 1


def test_a_transaction_may_begin_with_its_first_statement(database_urls, alices, pool_cleanup):
    with postgres_proxy(database_urls.owner) as proxy:
        database.open_pool(proxy.url(database_urls.app), "beckon_app", 2)
        with connection():
            before = proxy.queries
            with acting_as(alices, with_first=True, lock_timeout_ms=70):
                assert fetch_value(COUNT_WORKSPACES) == 1
                assert fetch_value("select current_setting('lock_timeout')") == "70ms"
            with acting_as(alices, with_first=True):
                pass
            assert proxy.queries - before == 3, (
                "begin with the first query, the second, commit; an empty one sends none"
            )
            assert fetch_value("select current_setting('lock_timeout')") == "0"
            with pytest.raises(database.peewee.DataError), acting_as(alices, with_first=True):
                fetch_value("select 'x'::integer")
            assert fetch_value(COUNT_WORKSPACES) == 0


def test_a_claim_takes_one_round_trip_on_a_direct_connection(database_urls, alices, pool_cleanup):
    with postgres_proxy(database_urls.owner) as proxy:
        database.open_pool(proxy.url(database_urls.service), "beckon_service", 2)
        group_commit = GroupCommit("worker", 30.0)
        try:
            claim(group_commit, "00000000-0000-7000-8000-000000000000")
            before = proxy.queries
            claim(group_commit, "00000000-0000-7000-8000-000000000000")
            assert proxy.queries - before == 1
        finally:
            group_commit.close()


def test_a_workspace_s_id_is_data_and_not_sql(as_dashboard):
    with pytest.raises(database.peewee.DataError, match="uuid"), acting_as("'; reset role; select '"):
        fetch_value(COUNT_WORKSPACES)


def test_a_snapshot_sees_one_moment_and_cannot_write(as_service):
    with snapshot():
        assert fetch_value("show transaction_isolation") == "repeatable read"
        assert fetch_value("show transaction_read_only") == "on"


def test_a_nested_workspace_is_the_acting_one(alices, charlies, as_dashboard):
    with acting_as(alices), acting_as(charlies):
        assert str(fetch_value("select id from workspaces")) == charlies


def begin_with_first():
    """A transaction that begins with its first statement."""
    return acting_as("00000000-0000-7000-8000-000000000000", with_first=True)


@pytest.mark.parametrize(
    "scope", [transaction, connection, begin_with_first], ids=["transaction", "statement", "first statement"]
)
def test_a_direct_connection_that_loses_its_settings_gets_them_with_each_transaction(
    database_urls, alices, pool_cleanup, scope
):
    database.open_pool(database_urls.app, "beckon_app", 1)
    with connection(), database.db.cursor() as cursor:
        assert database.db.connection().has_settings
        # As behind a pooler that passes the server's process id on.
        cursor.execute("discard all")
        cursor.execute("set timezone = 'Asia/Tokyo'; create temp table workspaces (id uuid)")
    with scope():
        assert fetch_value(COUNT_WORKSPACES) == 0
        assert fetch_value("show timezone") == "UTC"
        assert fetch_value("select current_user") == "beckon_app"
    with connection():
        assert not database.db.connection().has_settings
    with acting_as(alices):
        assert fetch_value("update workspaces set name = 'once' returning name") == "once"


def test_a_direct_connection_keeps_the_settings(database_urls, pool_cleanup):
    database.open_pool(database_urls.app, "beckon_app", 1)
    with connection():
        for _ in range(2):
            assert fetch_value("show search_path") == "public, pg_temp"
            assert fetch_value("show statement_timeout") == "30s"
            assert fetch_value("select current_setting('beckon.workspace')") == ""
        assert database.db.connection().has_settings


def test_a_connection_of_an_earlier_pool_is_not_used_by_the_next(database_urls: Any) -> None:
    database.open_pool(database_urls.service, "beckon_service", 2)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(database.db.connect).result()
        database.open_pool(database_urls.app, "beckon_app", 2)
        thread.submit(database.db.close).result()
    with database.connection():
        assert database.db.connection().pool_number == database.get_pool_number()
    database.db.close_all()
