"""PostgreSQL 200 ms away: each way into Beckon takes few round trips, and requests of one moment share them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from ephemeral import workflow_cache
from models import account, database
from tests.dashboard import test_inbound_meta as meta
from tests.dashboard.producers import Producer, definition
from tests.dashboard.test_trigger_cost import build_trigger
from tests.support.poolers import PostgresProxy, postgres_proxy
from tests.support.waiting import eventually

#: From here to PostgreSQL, and the same back.
DELAY_SECONDS = 0.1


@dataclass
class Shop:
    """Reaches Beckon in every way that does not wait for a person."""

    producer: Producer
    automation_id: str
    hook_path: str
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def send(self, way: Callable[[Shop], TestResponse]) -> TestResponse:
        """Send a request in one of the ways, as another client."""
        client = self.producer.client.application.test_client()
        return way(replace(self, producer=replace(self.producer, client=client)))

    def trigger(self) -> TestResponse:
        return self.producer.post("/api/triggers", build_trigger(next(self.numbers)))

    def batch(self) -> TestResponse:
        return self.producer.post(
            "/api/triggers/batch", {"triggers": [build_trigger(next(self.numbers)) for _ in "ab"]}
        )

    def hook(self) -> TestResponse:
        contact = {"externalId": f"c-{next(self.numbers)}"}
        return self.producer.client.post(self.hook_path, json={"contact": contact})

    def webhook(self) -> TestResponse:
        return meta.post(self.producer.client, meta.webhook(meta.comment(next(self.numbers))))

    def tracked_execution(self) -> TestResponse:
        body = {"workflowId": self.automation_id, "executionId": f"e-{next(self.numbers)}"}
        return self.producer.post("/api/track-execution", body)


@pytest.fixture
def shop(alice: Producer) -> Shop:
    account.add(alice.workspace_id, "instagram", meta.IG, "Alice's shop")
    started = alice.create()
    hook = alice.create(definition=definition(type="hook"))["hookUrl"]
    return Shop(alice, started["id"], hook.removeprefix("http://localhost"))


@pytest.fixture
def proxy(database_urls: Any, shop: Shop) -> Iterator[PostgresProxy]:
    """The dashboard's connections reach PostgreSQL through this proxy."""
    with postgres_proxy(database_urls.owner) as proxy:
        database.db.close_all()
        database.open_pool(proxy.url(database_urls.app), "beckon_app", 10)
        yield proxy
        database.db.close_all()


@pytest.mark.parametrize(
    ("way", "most"),
    [(Shop.trigger, 5), (Shop.batch, 5), (Shop.hook, 5), (Shop.webhook, 1), (Shop.tracked_execution, 1)],
)
def test_a_request_takes_few_round_trips(
    proxy: PostgresProxy, shop: Shop, way: Callable[[Shop], TestResponse], most: int
) -> None:
    eventually(lambda: workflow_cache._cache._listening)
    counts = []
    # The fewest of several: what the process has read recently may expire before any one of them.
    for _ in range(4):
        before = proxy.queries
        assert way(shop).status_code < 300
        counts.append(proxy.queries - before)
    assert min(counts) <= most


def test_a_trigger_takes_no_more_round_trips_to_a_distant_server(proxy: PostgresProxy, shop: Shop) -> None:
    eventually(lambda: workflow_cache._cache._listening)
    assert shop.trigger().status_code == 202
    proxy.delay_seconds = DELAY_SECONDS
    before = proxy.queries
    response = shop.trigger()
    assert (response.status_code, len(response.json["executions"])) == (202, 1)
    assert proxy.queries - before <= 5


@pytest.mark.parametrize(
    ("way", "most"), [(Shop.trigger, 5), pytest.param(Shop.hook, 5, marks=pytest.mark.slow), (Shop.webhook, 1)]
)
def test_requests_of_one_moment_share_their_round_trips(
    proxy: PostgresProxy, shop: Shop, way: Callable[[Shop], TestResponse], most: int
) -> None:
    eventually(lambda: workflow_cache._cache._listening)
    with ThreadPoolExecutor(8) as pool, database.connection():
        for send in [pool.submit(shop.send, way) for _ in range(8)]:
            assert send.result(20).status_code < 300
        proxy.delay_seconds = DELAY_SECONDS
        before = proxy.queries
        sent = [pool.submit(shop.send, way) for _ in range(8)]
        assert {request.result(20).status_code for request in sent} <= {200, 202}
    # The first is stored alone and the others together; one may come late, and a connection is set up once.
    assert proxy.queries - before <= 8 * most / 2
