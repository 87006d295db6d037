"""What an address may hold in memory before its signature or key is verified, and how often it may fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from dashboard.held_bytes import HeldBytes, hold_body
from dashboard.inbound import meta, storage
from ephemeral.rate_limits import RateLimit
from models import api_key
from tests.dashboard.producers import Producer
from tests.dashboard.test_inbound import build_delivered_event
from tests.support.waiting import eventually

META = "/api/webhooks/facebook"


def hold_in_turn(held: HeldBytes, sizes: list[int]) -> tuple[list[int], list[threading.Event], ThreadPoolExecutor]:
    """Start a holder of each size, one after the other; the list of those who hold, and events that end them."""
    holding: list[int] = []
    ends = [threading.Event() for _ in sizes]
    pool = ThreadPoolExecutor(len(sizes))

    def hold(number: int) -> None:
        if held.take("a", sizes[number]):
            holding.append(number)
            assert ends[number].wait(30)
            held.give_back("a", sizes[number])

    for number in range(len(sizes)):
        pool.submit(hold, number)
        eventually(lambda expected=number + 1: len(holding) + len(held._holders["a"].waiting) == expected)  # type: ignore[misc]
    return holding, ends, pool


def test_what_exceeds_the_bound_waits_for_its_turn_in_order() -> None:
    held = HeldBytes(10, 30.0)
    holding, ends, pool = hold_in_turn(held, [6, 4, 7, 1])
    assert holding == [0, 1]
    assert held.take("b", 10)
    held.give_back("b", 10)
    ends[1].set()
    # There is room for the last one, and the one before it comes first.
    eventually(lambda: held._holders["a"].held == 6)
    assert holding == [0, 1]
    ends[0].set()
    eventually(lambda: sorted(holding) == [0, 1, 2, 3])
    for end in ends:
        end.set()
    pool.shutdown()
    assert not held._holders


def test_one_alone_may_exceed_the_bound() -> None:
    held = HeldBytes(10, 0.0)
    assert held.take("a", 11)
    assert not held.take("a", 1)
    held.give_back("a", 11)
    assert held.take("a", 1)


def test_who_gives_up_lets_smaller_ones_pass() -> None:
    held = HeldBytes(10, 0.05)
    assert held.take("a", 8)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(held.take, "a", 5)
        assert large.result() is False
    assert held.take("a", 2)


@pytest.fixture
def crowded(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldBytes]:
    """An application in which the client's address already holds all it may."""
    held = HeldBytes(100, 0.0)
    monkeypatch.setitem(app.extensions, "held_bytes", held)
    assert held.take("127.0.0.1", 100)
    yield held
    held.give_back("127.0.0.1", 100)
    assert not held._holders


def test_a_webhook_beyond_the_bound_is_503_and_not_read(
    client: FlaskClient, crowded: HeldBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[Any] = []
    monkeypatch.setattr(meta.meta_callbacks, "verify", lambda *arguments: verified.append(arguments))
    response = client.post(META, data=b"x" * 50)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert verified == []
    # Another address goes on.
    assert client.post(META, data=b"x" * 50, environ_base={"REMOTE_ADDR": "192.0.2.9"}).status_code == 403


def test_a_caller_with_a_key_is_not_bounded_by_its_address(alice: Producer, crowded: HeldBytes) -> None:
    assert alice.post("/api/triggers", {"type": "a", "payload": {"text": "x" * 500}}).status_code == 202
    assert alice.post("/api/triggers", {"type": "a", "payload": {"text": "x" * 70_000}}).status_code == 202


def test_large_bodies_of_a_key_are_bounded_and_others_go_on(
    alice: Producer, charlie: Producer, crowded: HeldBytes
) -> None:
    key = api_key.digest(alice.secret).hex()
    assert crowded.take(key, 100)
    large = {"triggers": [{"type": "a", "payload": {"text": "x" * 70_000}}]}
    refused = alice.post("/api/triggers/batch", large)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert alice.post("/api/triggers", {"type": "a", "payload": {}}).status_code == 202
    assert charlie.post("/api/triggers/batch", large).status_code == 202
    crowded.give_back(key, 100)
    assert alice.post("/api/triggers/batch", large).status_code == 202


@pytest.mark.parametrize(
    ("length", "expected"), [(None, 5_000), ("7", 7), (str(10**12), 5_000)], ids=["without", "short", "too long"]
)
def test_a_body_counts_with_what_may_be_read_of_it(app: flask.Flask, length: str | None, expected: int) -> None:
    overrides = {"CONTENT_LENGTH": length} if length else {"wsgi.input_terminated": True}
    held = app.extensions["held_bytes"]
    with app.test_request_context("/", method="POST", environ_overrides=overrides):
        hold_body(5_000)
        hold_body(5_000)
        assert [holder.held for holder in held._holders.values()] == [expected]
    assert not held._holders


def test_only_what_fails_its_signature_is_limited(
    client: FlaskClient, alice: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "INVALID_SIGNATURE_LIMIT", RateLimit("invalid-signatures-of-test", 0.01, 2))
    statuses = [client.post(META, data=b"{}").status_code for _ in range(3)]
    assert statuses == [403, 403, 429]
    response = client.post(META, data=b"{}")
    assert int(response.headers["Retry-After"]) > 1
    assert response.json["detail"] == "Too many requests with an invalid signature. Slow down."
    assert client.post("/api/webhooks/mailgun", json=build_delivered_event()).status_code == 200
