"""Statements that run for every trigger are prepared on direct connections alone, and without them nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from models import contact_matching, database
from models.contact_matching import ContactSpecs
from models.database import acting_as, connection, db
from models.engine.current_facts import fetch_current_facts
from models.ids import new_id
from models.queries import fetch_value, fetch_values
from tests.support import servers as real
from tests.support.poolers import needs_pgbouncer, pooler, postgres_proxy

NEW: ContactSpecs = [(None, {"external_id": "ada", "first_name": "Ada"})]
CHANGED: ContactSpecs = [(None, {"external_id": "ada", "first_name": "Grace"})]


@pytest.fixture
def direct(database_urls: Any, alices: str) -> Iterator[None]:
    """A pool of one direct connection."""
    database.open_pool(database_urls.app, "beckon_app", 1)
    yield
    database.db.close_all()


def match(workspace_id: str, specs: ContactSpecs = NEW) -> str:
    """Match or create a contact as a trigger does; return the first name that is stored."""
    with acting_as(workspace_id, with_first=True):
        contact_matching.match_or_create(workspace_id, specs)
    with acting_as(workspace_id):
        return str(fetch_value("select first_name from contacts"))


def list_prepared() -> list[str]:
    with connection():
        return sorted(fetch_values("select name from pg_prepared_statements"))


def test_a_direct_connection_prepares_each_statement_once(direct: None, alices: str) -> None:
    match(alices)
    match(alices, CHANGED)
    assert list_prepared() == ["insert_contacts", "match_contacts", "update_contacts"]
    assert match(alices, CHANGED) == "Grace"
    with connection():
        plans = fetch_values("select generic_plans from pg_prepared_statements where name = 'match_contacts'")
        assert plans == [3]
        assert fetch_values("select sum(custom_plans)::int from pg_prepared_statements") == [0]


def test_a_statement_outside_of_a_transaction_is_prepared_and_leaves_no_settings(direct: None, alices: str) -> None:
    with connection():
        for _ in range(2):
            assert fetch_current_facts(new_id(), []) is None
        assert list_prepared() == ["read_current_facts"]
        assert fetch_values("select generic_plans from pg_prepared_statements") == [2]
        assert fetch_value("show plan_cache_mode") == "auto"


def test_a_statement_outside_of_a_transaction_costs_one_round_trip(database_urls: Any, alices: str) -> None:
    with postgres_proxy(database_urls.owner) as proxy:
        database.open_pool(proxy.url(database_urls.app), "beckon_app", 1)
        with connection():
            fetch_current_facts(new_id(), [])
            before = proxy.queries
            fetch_current_facts(new_id(), [])
            assert proxy.queries - before == 1
        database.db.close_all()


@pytest.mark.parametrize("loss", ["deallocate all", "discard all"])
def test_outside_of_a_transaction_a_lost_statement_runs_unprepared(direct: None, alices: str, loss: str) -> None:
    with connection():
        assert fetch_current_facts(new_id(), []) is None
        with db.cursor() as cursor:
            cursor.execute(loss)
        assert fetch_current_facts(new_id(), []) is None
        assert not db.connection().has_settings


def test_only_a_transaction_that_begins_with_its_first_statement_prepares(direct: None, alices: str) -> None:
    with acting_as(alices):
        contact_matching.match_or_create(alices, NEW)
        assert fetch_value("show plan_cache_mode") == "auto"
    assert list_prepared() == []


def test_the_planner_s_settings_end_with_the_transaction(direct: None, alices: str) -> None:
    with acting_as(alices, with_first=True):
        assert fetch_value("show plan_cache_mode") == "force_generic_plan"
    with acting_as(alices):
        assert (fetch_value("show plan_cache_mode"), fetch_value("show enable_seqscan")) == ("auto", "on")


@needs_pgbouncer
def test_nothing_is_prepared_behind_a_pooler(database_urls: Any, alices: str) -> None:
    with pooler(database_urls.owner, ignore_startup_parameters=True) as url:
        database.open_pool(real.with_user(url, "beckon_app"), "beckon_app", 2)
        assert match(alices) == "Ada"
        assert match(alices, CHANGED) == "Grace"
        assert list_prepared() == []
        database.db.close_all()


@pytest.mark.parametrize("loss", ["deallocate all", "discard all"])
def test_statements_of_a_session_that_lost_them_run_unprepared(direct: None, alices: str, loss: str) -> None:
    match(alices)
    with connection(), db.cursor() as cursor:
        # As behind a pooler that passes the server's process id on, and gives the next transaction another session.
        cursor.execute(loss)
    assert match(alices, CHANGED) == "Grace"
    with connection():
        assert not db.connection().has_settings


def test_after_a_refused_preparation_the_next_transaction_prepares(
    direct: None, alices: str, database_urls: Any
) -> None:
    with closing(psycopg2.connect(database_urls.owner)) as owner, owner.cursor() as cursor:
        cursor.execute("lock table contacts")
        with connection(), db.cursor() as own:
            own.execute("set statement_timeout = 50")
        with pytest.raises(database.CONNECTION_ERRORS), acting_as(alices, with_first=True):
            contact_matching.match_or_create(alices, NEW)
    with connection(), db.cursor() as own:
        own.execute("set statement_timeout = 30000")
    assert match(alices) == "Ada"
    assert list_prepared() == ["insert_contacts", "match_contacts"]


def test_a_prepared_statement_costs_no_round_trip_of_its_own(database_urls: Any, alices: str) -> None:
    with postgres_proxy(database_urls.owner) as proxy:
        database.open_pool(proxy.url(database_urls.app), "beckon_app", 1)
        match(alices)
        with connection():
            before = proxy.queries
            with acting_as(alices, with_first=True):
                contact_matching.match_or_create(alices, NEW)
            assert proxy.queries - before == 2, "begin with the look-up, commit"
        database.db.close_all()


def test_row_security_holds_for_prepared_statements(alices: str, charlies: str, direct: None) -> None:
    match(alices)
    match(charlies, [(None, {"external_id": "ada", "first_name": "Charlie's"})])
    assert match(alices) == "Ada"
    assert match(charlies, []) == "Charlie's"
