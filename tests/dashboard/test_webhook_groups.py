"""Webhooks are stored in groups, and each request gets the answer that it would get by itself."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import flask
import peewee
import psycopg2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import settings
from models import account, database, inbound_event
from models.inbound_event import Event, StoredRequest, WebhookRequest, build_request
from tasks.intake import webhook_requests
from tasks.runtime.broker import read_queue_depths
from tests.dashboard import test_inbound_meta as meta
from tests.dashboard.producers import Producer
from tests.dashboard.test_inbound import (
    EVENTS,
    MAIL,
    TELNYX_KEY,
    build_delivered_event,
    build_mail,
    build_received_message,
    fetch_events,
    post_to_telnyx,
)
from tests.support import servers as real
from tests.support.concurrency import count_lock_waiters
from tests.support.poolers import PostgresProxy, postgres_proxy
from tests.support.rows import fetch_rows
from tests.support.waiting import eventually

Send = Callable[[FlaskClient], Any]
NOBODY = "01a00000-0000-7000-8000-000000000000"


@pytest.fixture
def config() -> settings.Settings:
    public = TELNYX_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return settings.load().replace(telnyx_public_key=base64.b64encode(public).decode())


@dataclass
class Group:
    """Sends webhooks so that all but the first, whose transaction is held, are stored together."""

    app: flask.Flask
    pool: ThreadPoolExecutor
    gate: threading.Event = field(default_factory=threading.Event)
    #: How many requests each transaction of the door had.
    sizes: list[int] = field(default_factory=list)

    def send(self, *requests: Send) -> list[TestResponse]:
        """Return the responses to these requests, which arrive in this order behind a first one."""
        futures = self.start(*requests)
        self.gate.set()
        return [future.result(20) for future in futures]

    def start(self, *requests: Send) -> list[Future[TestResponse]]:
        """Send the requests; they wait until the gate opens."""
        first = self.pool.submit(self._run, deliver("first"))
        eventually(lambda: self.sizes)
        futures = []
        for count, send in enumerate(requests, 1):
            futures.append(self.pool.submit(self._run, send))
            eventually(lambda count=count: len(webhook_requests._door._waiting) == count)
        assert not first.done()
        return futures

    def _run(self, send: Send) -> TestResponse:
        with database.connection():
            return send(self.app.test_client())


@pytest.fixture
def group(app: flask.Flask, alice: Producer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    store = inbound_event.store

    def hold_first(requests: list[WebhookRequest], *arguments: Any) -> list[StoredRequest]:
        group.sizes.append(len(requests))
        if len(group.sizes) == 1:
            assert group.gate.wait(20)
        return store(requests, *arguments)

    with ThreadPoolExecutor(20) as pool:
        group = Group(app, pool)
        monkeypatch.setattr(inbound_event, "store", hold_first)
        yield group
        group.gate.set()


def deliver(event_id: str, token: str = "", path: str = "") -> Send:
    """A delivery event of Mailgun with a token of its own."""
    event = build_delivered_event(event_id, token=token or event_id.encode().hex().ljust(50, "0")[:50])
    return lambda client: client.post(f"{EVENTS}{path}", json=event)


def receive_text(event_id: str, path: str = "") -> Send:
    """A text message by Telnyx."""
    return lambda client: post_to_telnyx(client, build_received_message(event_id), path)


def receive_comments(*numbers: int) -> Send:
    """Comments by Meta, in one request."""
    return lambda client: meta.post(client, meta.webhook(*map(meta.comment, numbers)))


def list_stored() -> list[str]:
    return [row["event_id"] for row in fetch_events() if row["event_id"] != "first"]


def test_requests_of_every_provider_share_one_transaction_and_message(group: Group, alice: Producer) -> None:
    account.add(alice.workspace_id, "instagram", meta.IG, "Alice's shop")
    responses = group.send(
        deliver("e-1"),
        receive_text("t-1", f"/{alice.workspace_id}"),
        receive_comments(1, 2),
        lambda client: client.post(MAIL, data=build_mail(token="a2" * 25)),
    )
    assert [response.status_code for response in responses] == [200] * 4
    assert group.sizes == [1, 4]
    eventually(lambda: read_queue_depths()["tracking"]["ready"] == 2)
    assert [(row["provider"], row["workspace_id"]) for row in fetch_events()][1:] == [
        ("mailgun", None), ("telnyx", alice.workspace_id), ("instagram", None), ("instagram", None),
        ("mailgun_inbound", None),
    ]  # fmt: skip
    with database.transaction():
        transactions = fetch_rows("select distinct xmin::text from inbound_events where event_id <> 'first'")
    assert len(transactions) == 1


def test_a_request_that_is_refused_spoils_none_of_its_group(group: Group) -> None:
    responses = group.send(
        deliver("e-1"),
        deliver("e-2", token="e1" * 25, path=f"/{NOBODY}"),
        receive_text("t-1", f"/{NOBODY}"),
        deliver("e-3", token="e3" * 25),
        deliver("e-4", token="e3" * 25),
        receive_text("t-2"),
    )
    assert [response.status_code for response in responses] == [200, 404, 404, 200, 403, 200]
    assert list_stored() == ["e-1", "e-3", "t-2"]


def test_the_same_request_twice_in_a_group_is_stored_once(group: Group) -> None:
    repeated = deliver("e-1")
    responses = group.send(repeated, repeated, receive_text("t-1"), receive_text("t-1"), receive_comments(1, 1))
    assert [response.status_code for response in responses] == [200] * 5
    assert list_stored() == ["e-1", "t-1", f"{meta.IG}:comment:c-1"]


def test_an_event_that_postgresql_refuses_spoils_none_of_its_group(group: Group, database_urls: Any) -> None:
    real.run_sql(database_urls.owner, "alter table inbound_events add constraint odd check (event_id <> 'bad')")
    bad = build_request([Event(provider="mailgun", event_id="bad", sandbox=False, body={})])
    try:
        futures = group.start(
            deliver("e-1"), receive_text("t-1"), lambda _: webhook_requests.accept(bad), deliver("e-2")
        )
        group.gate.set()
        with pytest.raises(peewee.IntegrityError, match="odd"):
            futures.pop(2).result(20)
        assert [future.result(20).status_code for future in futures] == [200] * 3
    finally:
        real.run_sql(database_urls.owner, "alter table inbound_events drop constraint odd")
    assert list_stored() == ["e-1", "t-1", "e-2"]


def test_a_token_that_another_process_holds_holds_up_no_other(group: Group, database_urls: Any) -> None:
    token = "ee" * 25
    hold = "insert into webhook_tokens (token_hash, door, body_hash) values (sha256(%s), 'elsewhere', '')"
    with psycopg2.connect(database_urls.service) as slow, slow.cursor() as cursor:
        cursor.execute("set role beckon_service")
        cursor.execute(hold, (token.encode(),))
        held, *others = group.start(deliver("e-1", token=token), deliver("e-2"), receive_text("t-1"))
        group.gate.set()
        assert [future.result(20).status_code for future in others] == [200, 200]
        eventually(count_lock_waiters)
        assert not held.done()
        slow.rollback()
    slow.close()
    assert held.result(20).status_code == 200
    assert sorted(list_stored()) == ["e-1", "e-2", "t-1"]


@pytest.fixture
def proxy(database_urls: Any, client: FlaskClient) -> Iterator[PostgresProxy]:
    """The dashboard's pool reaches PostgreSQL through this proxy."""
    with postgres_proxy(database_urls.owner) as proxy:
        database.db.close_all()
        database.open_pool(proxy.url(database_urls.app), "beckon_app", 4)
        yield proxy
        database.db.close_all()


def test_without_postgresql_all_get_503_and_repeating_them_has_one_effect(
    proxy: PostgresProxy, group: Group, database_urls: Any
) -> None:
    requests = [deliver("e-1"), receive_text("t-1"), receive_comments(1)]
    futures = group.start(*requests)
    database.db.close_all()
    proxy.close()
    group.gate.set()
    responses = [future.result(20) for future in futures]
    assert [(response.status_code, response.headers["Retry-After"]) for response in responses] == [(503, "5")] * 3

    database.open_pool(database_urls.app, "beckon_app", 4)
    again = [send(group.app.test_client()).status_code for send in (*requests, *requests)]
    assert again == [200] * 6
    assert list_stored() == ["e-1", "t-1", f"{meta.IG}:comment:c-1"]


def test_a_webhook_takes_one_round_trip(client: FlaskClient, alice: Producer, proxy: PostgresProxy) -> None:
    def count_round_trips(build: Callable[[int], Send]) -> int:
        """The fewest of several requests: what the process cached may expire before any one of them."""
        counts = []
        for number in range(3):
            before = proxy.queries
            assert build(number)(client).status_code == 200
            counts.append(proxy.queries - before)
        return min(counts)

    own = f"/{alice.workspace_id}"
    assert count_round_trips(lambda number: deliver(f"e-{number}")) == 1
    assert count_round_trips(lambda number: deliver(f"own-{number}", path=own)) == 1
    assert count_round_trips(lambda number: receive_text(f"t-{number}", own)) == 1
    assert count_round_trips(lambda number: receive_comments(number, -number)) == 1
