"""Nothing depends on a session: row security, the clock and the limits hold through a pooler that gives every
transaction another one, whatever others left in it; and a connection that acts as somebody else reads nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import psycopg2
import pytest

import clock
import settings
from models import api_key, database, migrations, periodic_job
from models.checks import verification
from models.database import RoleMismatch, acting_as, connection, fetch_row, fetch_value, snapshot, transaction
from models.engine.group_commit import GroupCommit
from tests.support import servers as real
from tests.support.poolers import needs_pgbouncer, pooler, postgres_proxy

COUNT_WORKSPACES = "select count(*) from workspaces"


@pytest.fixture(scope="module", params=[False, True], ids=["options refused", "options ignored"])
def pooler_url(request: pytest.FixtureRequest, database_urls: Any) -> Iterator[str]:
    """The owner's URL through pgbouncer, which refuses startup options or drops them."""
    with pooler(database_urls.owner, ignore_startup_parameters=request.param) as url:
        yield url


@pytest.fixture(params=["a login of its own", "the owner's"])
def login(request: pytest.FixtureRequest) -> Any:
    """How the programs log in: a role's URL from the owner's."""
    uses_own_login = request.param != "the owner's"
    return lambda url, role: real.with_user(url, role) if uses_own_login else url


@pytest.fixture
def pool_cleanup() -> Iterator[None]:
    """The process's pool is closed at the end, whatever it pointed to."""
    yield
    database.db.close_all()


def _leave_behind(url: str, *statements: str) -> None:
    """Another client says these on each of the pooler's two connections, and leaves without taking them back."""
    with closing(psycopg2.connect(url)) as first, closing(psycopg2.connect(url)) as second:
        for client in (first, second):
            # Both hold one at the same time, so each has its own.
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
def test_what_another_client_left_in_the_session_counts_for_nothing(pooler_url, login, alices, pool_cleanup):
    url = login(pooler_url, "beckon_app")
    left = [f"set beckon.workspace = '{alices}'", "set beckon.clock_offset = '86400'", "set timezone = 'Asia/Tokyo'",
            "set statement_timeout = '1h'"]  # fmt: skip
    _leave_behind(url, *left)
    database.open_pool(url, "beckon_app", 4)
    for ask in (transaction, connection):
        with ask():
            assert fetch_value(COUNT_WORKSPACES) == 0
            assert fetch_value("select beckon_now() - now()") == timedelta(0)
            assert fetch_value("show timezone") == "UTC"
            assert fetch_value("show statement_timeout") == "30s"


@needs_pgbouncer
@pytest.mark.parametrize(
    "left",
    [
        ("create temp table workspaces (id uuid)", "create temp table api_keys (id uuid)"),
        ("set search_path = pg_temp, pg_catalog",),
        ("set row_security = off",),
        ("set session characteristics as transaction isolation level serializable",),
        ("set lock_timeout = 1",),
        ("set synchronous_commit = off",),
    ],
    ids=lambda left: left[0],
)
def test_a_setting_or_table_of_another_session_changes_no_transaction(pooler_url, login, alices, pool_cleanup, left):
    url = login(pooler_url, "beckon_app")
    _leave_behind(url, *left)
    database.open_pool(url, "beckon_app", 4)
    for ask in (transaction, connection):
        with ask():
            assert fetch_value(COUNT_WORKSPACES) == 0
            assert fetch_value("show search_path") == "public, pg_temp"
            assert fetch_value("show row_security") == "on"
            assert fetch_value("show transaction_isolation") == "read committed"
            assert fetch_value("show lock_timeout") == "0"
            assert fetch_value("show synchronous_commit") == "on"
    with acting_as(alices):
        assert fetch_value(COUNT_WORKSPACES) == 1


@pytest.mark.parametrize("set_by_the_operator", ["local", "remote_write", "remote_apply"])
def test_a_durability_that_the_operator_set_is_kept(database_urls, pool_cleanup, set_by_the_operator):
    options = quote(f"-c synchronous_commit={set_by_the_operator}")
    database.open_pool(f"{database_urls.app}&options={options}", "beckon_app", 2)
    for ask in (transaction, connection):
        with ask():
            assert fetch_value("show synchronous_commit") == set_by_the_operator


@pytest.mark.parametrize("ask", [transaction, connection, snapshot])
def test_what_a_server_or_a_url_sets_for_its_sessions_counts_for_nothing(database_urls, alices, pool_cleanup, ask):
    session_options = (f"-c timezone=Asia/Tokyo -c beckon.workspace={alices} "
                     "-c beckon.clock_offset=86400 -c idle_in_transaction_session_timeout=1")  # fmt: skip
    database.open_pool(f"{database_urls.app}&options={quote(session_options)}", "beckon_app", 2)
    with ask():
        assert fetch_value("show timezone") == "UTC"
        assert fetch_value("show idle_in_transaction_session_timeout") == "1min"
        assert fetch_value("select beckon_now() - now()") == timedelta(0)
        assert fetch_value(COUNT_WORKSPACES) == 0


@needs_pgbouncer
def test_a_role_that_another_client_left_in_the_session_does_not_act(pooler_url, alices, pool_cleanup):
    _leave_behind(pooler_url, "set role beckon_service")
    database.open_pool(pooler_url, "beckon_app", 4)
    for ask in (transaction, connection):
        with ask():
            assert fetch_value("select current_user") == "beckon_app"
            assert fetch_value(COUNT_WORKSPACES) == 0


@needs_pgbouncer
def test_the_clock_is_ahead_through_a_pooler(pooler_url, login, as_service, pool_cleanup, monkeypatch):
    monkeypatch.setattr(clock, "OFFSET_SECONDS", 3600.0)
    database.open_pool(login(pooler_url, "beckon_service"), "beckon_service", 4)
    for ask in (transaction, connection, snapshot):
        with ask():
            assert fetch_value("select beckon_now() - now()") == timedelta(hours=1)


@needs_pgbouncer
def test_a_key_and_the_whole_database_are_looked_at_through_a_pooler(pooler_url, login, alices, pool_cleanup):
    secret = api_key.issue(alices, "key").secret
    database.open_pool(login(pooler_url, "beckon_app"), "beckon_app", 4)
    opened = api_key.find(secret)
    assert opened is not None
    assert opened.workspace_id == alices
    database.open_pool(login(pooler_url, "beckon_service"), "beckon_service", 4)
    assert all(finding.holds for finding in verification.verify())


@needs_pgbouncer
def test_the_ledger_prepares_nothing_behind_a_pooler_and_does_the_same(pooler_url, login, alices, pool_cleanup):
    url = login(pooler_url, "beckon_service")
    database.open_pool(url, "beckon_service", 4)
    group_commit = GroupCommit("worker", 30.0)
    try:
        assert group_commit.claim("00000000-0000-7000-8000-000000000000") is None
    finally:
        group_commit.close()
    with connection():
        assert fetch_value("select count(*) from pg_prepared_statements") == 0


@needs_pgbouncer
def test_migrations_through_a_pooler_are_refused_in_one_line(pooler_url):
    with pytest.raises(migrations.MigrationError, match="pooler: migrations need the owner's direct") as error:
        migrations.migrate(pooler_url)
    assert "\n" not in str(error.value)


@needs_pgbouncer
def test_a_connection_is_direct_only_where_postgresql_itself_answers(pooler_url, database_urls):
    for url, direct in ((pooler_url, False), (database_urls.owner, True)):
        with closing(psycopg2.connect(url)) as raw_connection:
            assert database.is_direct(raw_connection) is direct


@pytest.fixture
def stranger(database_urls) -> Iterator[str]:
    """The URL of a login that nobody gave a role."""
    name = f"stranger_{os.getpid()}"
    real.run_sql(database_urls.owner, f"create role {name} login")
    yield real.with_user(database_urls.owner, name)
    real.run_sql(database_urls.owner, f"drop role {name}")


def test_a_login_that_may_not_act_as_the_role_is_refused_and_reads_nothing(stranger, pool_cleanup):
    database.open_pool(stranger, "beckon_app", 2)
    for ask in (transaction, connection, lambda: acting_as("00000000-0000-7000-8000-000000000000")):
        with pytest.raises(RoleMismatch, match="beckon_app"), ask():
            fetch_value("select 1")
    # The pool goes on with the connection once it may.
    real.run_sql(settings.load().database_url, f"grant beckon_app to {stranger.split('//')[1].split('@')[0]}")
    with transaction():
        assert fetch_value("select current_user") == "beckon_app"


def test_an_error_of_the_statement_stays_the_statement_s(alices, as_dashboard):
    for statement, error in (("select nothing", "does not exist"), ("truncate contacts", "permission denied")):
        with pytest.raises(database.peewee.ProgrammingError, match=error), connection():
            fetch_value(statement)


#: A pooler that loses the role on its way: what is sent instead sets something that means nothing.
ROLE_REPLACEMENT = (b"set_config('role',", b"set_config('a.bc',")


@pytest.mark.parametrize("login", ["owner", "service"])
def test_a_connection_on_which_the_role_gets_lost_is_refused_before_it_reads(
    database_urls, alices, pool_cleanup, login
):
    with postgres_proxy(database_urls.owner, ROLE_REPLACEMENT) as proxy:
        database.open_pool(proxy.url(getattr(database_urls, login)), "beckon_app", 2)
        for ask in (transaction, connection):
            with pytest.raises(RoleMismatch, match="beckon"), ask():
                fetch_value("update workspaces set name = 'read and written' returning id")
        with pytest.raises(RoleMismatch):
            api_key.find("bk_whatever")
        # The ledger tries again for as long as it does where the server is away, so only its one message is sent.
        with pytest.raises(RoleMismatch), connection(), database.db.cursor() as cursor:
            database.db.execute_bound(cursor, "update workspaces set name = 'read and written'", None)
        with pytest.raises(RoleMismatch), periodic_job.try_to_lead():
            pass
    database.open_pool(database_urls.service, "beckon_service", 2)
    with transaction():
        assert fetch_value("select count(*) from workspaces where name = 'read and written'") == 0


def test_what_is_bound_costs_no_round_trip(database_urls, alices, pool_cleanup):
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
        assert count_queries(query_as_alice) == 3, "begin, the question, commit"
        assert count_queries(lambda: api_key.find("bk_whatever")) == 1


def test_the_ledger_asks_once_for_each_claim_on_a_direct_connection(database_urls, alices, pool_cleanup):
    with postgres_proxy(database_urls.owner) as proxy:
        database.open_pool(proxy.url(database_urls.service), "beckon_service", 2)
        group_commit = GroupCommit("worker", 30.0)
        try:
            group_commit.claim("00000000-0000-7000-8000-000000000000")
            before = proxy.queries
            group_commit.claim("00000000-0000-7000-8000-000000000000")
            assert proxy.queries - before == 1
        finally:
            group_commit.close()


def test_a_workspace_s_id_is_data_and_not_sql(as_dashboard):
    with pytest.raises(database.peewee.DataError, match="uuid"), acting_as("'; reset role; select '"):
        fetch_value(COUNT_WORKSPACES)


def test_a_snapshot_sees_one_moment_and_may_not_write(as_service):
    with snapshot():
        assert fetch_value("show transaction_isolation") == "repeatable read"
        assert fetch_value("show transaction_read_only") == "on"


def test_a_workspace_inside_another_one_s_transaction_is_the_one_acted_as(alices, charlies, as_dashboard):
    with acting_as(alices), acting_as(charlies):
        assert str(fetch_value("select id from workspaces")) == charlies
