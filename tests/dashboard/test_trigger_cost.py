"""What an accepted trigger costs: round trips to PostgreSQL, also with a server that is 200 ms away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ephemeral import workflow_cache
from models import api_key, database
from tests.dashboard.producers import Producer
from tests.support import servers as real
from tests.support.poolers import PostgresProxy, postgres_proxy
from tests.support.waiting import eventually

#: The most round trips of a trigger with a new contact, and with one that exists and may be waited for.
MOST_FOR_NEW_CONTACT, MOST_ROUND_TRIPS = 2, 3


@pytest.fixture
def proxy(database_urls: Any, alice: Producer) -> Iterator[PostgresProxy]:
    """The dashboard's pool reaches PostgreSQL through this proxy."""
    with postgres_proxy(database_urls.owner) as proxy:
        database.db.close_all()
        database.open_pool(proxy.url(database_urls.app), "beckon_app", 4)
        yield proxy
        database.db.close_all()


def build_trigger(number: int, **fields: Any) -> dict[str, Any]:
    """A trigger with all that a producer usually sends, about a contact of its own."""
    contact = {"externalId": f"c-{number}", "firstName": "Ada", "email": f"c{number}@example.com"}
    return {
        "type": "contact.created", "contact": contact, "payload": {"n": 1}, "idempotencyKey": f"k-{number}", **fields
    }  # fmt: skip


def count_round_trips(proxy: PostgresProxy, alice: Producer, build: Callable[[int], dict[str, Any]]) -> int:
    """The fewest of several requests: what the process cached may expire before any one of them."""
    counts = []
    for number in range(5):
        before = proxy.queries
        response = alice.post("/api/triggers", build(number))
        assert response.status_code in (200, 202), response.json
        counts.append(proxy.queries - before)
    return min(counts)


def test_a_trigger_that_matches_nothing_takes_at_most_2_round_trips(alice: Producer, proxy: PostgresProxy) -> None:
    assert count_round_trips(proxy, alice, build_trigger) <= MOST_FOR_NEW_CONTACT


def test_a_trigger_that_starts_an_execution_takes_at_most_2_round_trips(alice: Producer, proxy: PostgresProxy) -> None:
    alice.create()
    eventually(lambda: workflow_cache._cache._listening)
    assert count_round_trips(proxy, alice, build_trigger) <= MOST_FOR_NEW_CONTACT


def test_a_repeated_trigger_takes_2_round_trips(alice: Producer, proxy: PostgresProxy) -> None:
    assert count_round_trips(proxy, alice, lambda _: build_trigger(0)) == 2


def test_a_changed_contact_takes_at_most_3_round_trips(alice: Producer, proxy: PostgresProxy) -> None:
    def build(number: int) -> dict[str, Any]:
        contact = {"externalId": "c", "firstName": f"Ada {number}"}
        return build_trigger(number, contact=contact)

    assert count_round_trips(proxy, alice, build) <= MOST_ROUND_TRIPS


def test_a_revoked_key_is_refused_within_seconds(alice: Producer) -> None:
    issued = api_key.issue(alice.workspace_id, "shop", ["trigger"])
    shop = Producer(alice.client, alice.workspace_id, issued.secret)
    assert shop.post("/api/triggers", {"type": "a"}).status_code == 202
    api_key.revoke(alice.workspace_id, issued.id)
    eventually(lambda: shop.post("/api/triggers", {"type": "a"}).status_code == 401)


def test_a_connection_that_the_server_ended_costs_no_request(alice: Producer, database_urls: Any) -> None:
    assert alice.post("/api/triggers", {"type": "a"}).status_code == 202
    real.run_sql(
        database_urls.owner,
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where datname = current_database() and usename = 'beckon_app'",
    )
    assert alice.post("/api/triggers", {"type": "a"}).status_code == 202
