"""Buffered triggers: nothing is lost within the buffer, nothing doubled, and the caller does not wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from beckon_client import (
    BufferFullError,
    Client,
    ClientClosedError,
    DeliveryError,
    InvalidBodyError,
    RejectedError,
    UnavailableError,
)
from beckon_client.entries import TRIGGERS
from tests.clients.conftest import Service, lose_answer, respond
from tests.dashboard.producers import Producer
from tests.support.waiting import eventually

ADA: Any = {"externalId": "c-1", "firstName": "Ada", "email": "ada@example.com"}

Connect = Callable[..., Client]
Count = Callable[[], int]


def test_a_buffered_trigger_starts_its_automation(connect: Connect, alice: Producer, count_triggers: Count) -> None:
    automation = alice.create()
    client = connect()
    client.trigger("contact.created", contact=ADA, payload={"plan": "pro"})
    assert client.flush()
    assert (count_triggers(), client.statistics.accepted, client.statistics.buffered) == (1, 1, 0)
    (execution,) = alice.get("/api/executions").json["executions"]
    assert execution["automationId"] == automation["id"]


def test_2500_triggers_are_three_batches(connect: Connect, service: Service, count_triggers: Count) -> None:
    client = connect(linger_seconds=30)
    for number in range(2500):
        client.trigger("visit", payload={"number": number})
    assert client.flush()
    assert count_triggers() == 2500
    assert service.paths == ["/api/triggers/batch"] * 3


def test_a_batch_stays_within_five_mebibytes(connect: Connect, service: Service, count_triggers: Count) -> None:
    client = connect(linger_seconds=30)
    for _ in range(12):
        client.trigger("visit", payload={"text": "x" * 1_000_000})
    assert client.flush()
    assert (count_triggers(), len(service.paths)) == (12, 3)


def test_a_key_of_the_caller_has_one_effect(connect: Connect, count_triggers: Count) -> None:
    client = connect()
    keys = {client.trigger("visit", idempotency_key="order-4711") for _ in range(3)}
    assert client.flush()
    assert (keys, count_triggers()) == ({"order-4711"}, 1)
    assert (client.statistics.accepted, client.statistics.duplicates) == (1, 2)


def test_retry_after_of_a_429_is_waited_for(
    connect: Connect, service: Service, count_triggers: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays: list[float | None] = []

    def compute_delay(attempt: int, retry_after: float | None = None) -> float:
        delays.append(retry_after)
        return 0.0

    monkeypatch.setattr("beckon_client.sender.compute_delay", compute_delay)
    service.faults += [respond("429 Too Many Requests", Retry_After="7"), respond("503 Unavailable", Retry_After="2")]
    client = connect()
    client.trigger("visit")
    assert client.flush()
    assert (delays, count_triggers(), client.statistics.retries) == ([7.0, 2.0], 1, 2)


def test_a_flush_does_not_cut_the_wait_that_the_server_asked_for(connect: Connect, service: Service) -> None:
    service.faults += [respond("429 Too Many Requests", Retry_After="3000")]
    client = connect()
    client.trigger("visit")
    eventually(lambda: client.statistics.retries == 1)
    assert [client.flush(0.05) for _ in range(3)] == [False] * 3
    assert len(service.paths) == 1


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("status", ["500 Error", "502 Bad Gateway", "503 Unavailable", "504 Timeout"])
def test_a_server_error_is_retried(connect: Connect, service: Service, count_triggers: Count, status: str) -> None:
    service.faults += [respond(status)] * 3
    client = connect()
    client.trigger("visit")
    assert client.flush()
    assert (count_triggers(), client.statistics.retries) == (1, 3)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("body", ["a page of a proxy", {"success": False}, ["success"]])
def test_a_200_that_is_not_beckons_delivers_nothing(
    connect: Connect, service: Service, count_triggers: Count, body: Any
) -> None:
    service.faults += [respond("200 OK", body)]
    client = connect()
    client.trigger("visit")
    assert client.flush()
    assert (count_triggers(), client.statistics.accepted, client.statistics.retries) == (1, 1, 1)


@pytest.mark.usefixtures("quick_retries")
def test_a_lost_answer_doubles_nothing(
    connect: Connect, service: Service, alice: Producer, count_triggers: Count
) -> None:
    alice.create()
    service.faults += [lose_answer, lose_answer]
    client = connect()
    for number in range(20):
        client.trigger("contact.created", contact={"externalId": f"c-{number}"})
    assert client.flush()
    assert (count_triggers(), len(alice.get("/api/executions").json["executions"])) == (20, 20)
    assert client.statistics.duplicates == 20


def test_a_rejected_trigger_goes_to_on_error_with_its_field_paths(connect: Connect, count_triggers: Count) -> None:
    errors: list[DeliveryError] = []
    client = connect(on_error=errors.append, linger_seconds=30)
    client.trigger("visit")
    key = client.trigger("visit", contact={"email": "nonsense"})
    client.trigger("no spaces allowed")
    client.trigger("visit", contact_id="01a00000-0000-7000-8000-000000000000")
    assert client.flush()
    assert count_triggers() == 1
    assert [(error.status, error.errors[0]["path"]) for error in errors] == [
        (422, "contact.email"), (422, "type"), (404, "contactId"),
    ]  # fmt: skip
    assert all(isinstance(error, RejectedError) for error in errors)
    assert errors[0].body["idempotencyKey"] == key


def test_an_entry_that_spoils_its_batch_does_not_stop_the_others(connect: Connect, count_triggers: Count) -> None:
    errors: list[DeliveryError] = []
    client = connect(on_error=errors.append, linger_seconds=30)
    for number in range(10):
        client.trigger("visit", payload={"text": "a\u0000b" if number == 4 else "ab"})
    assert client.flush()
    assert count_triggers() == 9
    assert [problem["path"] for error in errors for problem in error.errors] == ["payload.text"]


def test_a_413_splits_the_batch(connect: Connect, service: Service, count_triggers: Count) -> None:
    service.faults += [respond("413 Content Too Large")]
    client = connect(linger_seconds=30)
    for _ in range(10):
        client.trigger("visit")
    assert client.flush()
    assert (count_triggers(), len(service.paths)) == (10, 3)


def test_a_wrong_key_fails_each_trigger_and_is_logged_once_without_the_key(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = connect(api_key="bk_secret_of_nobody", linger_seconds=30)
    for _ in range(3):
        client.trigger("visit", payload={"card": "4111"})
    assert client.flush()
    assert client.statistics.failed == 3
    messages = [record.getMessage() for record in caplog.records if record.name == "beckon_client"]
    assert messages == ["3 triggers not delivered: 401: This API key does not exist or was revoked."]
    assert not [secret for secret in ("bk_secret_of_nobody", "4111") if secret in caplog.text + repr(client)]


def test_a_redirect_is_not_followed_with_the_key(connect: Connect, service: Service) -> None:
    errors: list[DeliveryError] = []
    service.faults += [respond("308 Permanent Redirect", Location="https://elsewhere.example/")]
    client = connect(on_error=errors.append)
    client.trigger("visit")
    assert client.flush()
    assert (errors[0].status, len(service.paths)) == (308, 1)


def test_an_error_in_on_error_stops_nothing(connect: Connect, count_triggers: Count) -> None:
    client = connect(on_error=lambda error: int(error.detail))
    client.trigger("no spaces allowed")
    assert client.flush()
    client.trigger("visit")
    assert client.flush()
    assert count_triggers() == 1


def test_a_full_buffer_refuses_the_newest_and_keeps_the_others(
    connect: Connect, service: Service, count_triggers: Count
) -> None:
    service.gate.clear()
    client = connect(max_buffered=3, max_block_seconds=0)
    for _ in range(3):
        client.trigger("visit")
    with pytest.raises(BufferFullError):
        client.trigger("visit")
    service.gate.set()
    assert client.flush()
    assert count_triggers() == 3
    client.trigger("visit")


def test_the_buffer_is_bounded_in_bytes_too(connect: Connect, service: Service) -> None:
    service.gate.clear()
    client = connect(max_buffered_bytes=2_000, max_block_seconds=0)
    client.trigger("visit", payload={"text": "x" * 3_000})
    with pytest.raises(BufferFullError):
        client.trigger("visit")


def test_a_call_waits_for_room_as_long_as_it_may(connect: Connect, service: Service, count_triggers: Count) -> None:
    service.gate.clear()
    client = connect(max_buffered=1, max_block_seconds=3600)
    client.trigger("visit")
    waiting = threading.Thread(target=client.trigger, args=("visit",))
    waiting.start()
    service.gate.set()
    waiting.join(20)
    assert client.flush()
    assert count_triggers() == 2


def test_a_hundred_threads_share_a_client(connect: Connect, count_triggers: Count) -> None:
    client = connect()
    threads = [threading.Thread(target=lambda: [client.trigger("visit") for _ in range(20)]) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush()
    assert count_triggers() == 2000


@pytest.mark.usefixtures("quick_retries")
def test_nothing_is_lost_while_the_server_is_away(connect: Connect, service: Service, count_triggers: Count) -> None:
    client = connect()
    client.trigger("visit")
    assert client.flush()
    service.stop()
    for _ in range(50):
        client.trigger("visit")
    eventually(lambda: client.statistics.retries >= 2)
    assert not client.flush(0)
    service.start()
    assert client.flush()
    assert (count_triggers(), client.statistics.accepted, client.statistics.failed) == (51, 51, 0)


def test_what_is_not_delivered_by_the_end_goes_to_on_error(connect: Connect, service: Service) -> None:
    errors: list[DeliveryError] = []
    client = connect(on_error=errors.append)
    service.stop()
    key = client.trigger("visit", payload={"plan": "pro"})
    assert client.close(0.05) is False
    assert [type(error) for error in errors] == [UnavailableError]
    assert errors[0].body == {"type": "visit", "payload": {"plan": "pro"}, "idempotencyKey": key}
    service.start()


def test_a_closed_client_takes_no_more(connect: Connect, count_triggers: Count) -> None:
    client = connect()
    with client:
        client.trigger("visit")
    assert count_triggers() == 1
    with pytest.raises(ClientClosedError):
        client.trigger("visit")


def test_what_is_no_json_is_refused_at_once(connect: Connect) -> None:
    client = connect()
    for payload in ({"at": object()}, {"n": float("nan")}, {"text": "\ud800"}, {"text": "x" * 1_100_000}):
        with pytest.raises(InvalidBodyError):
            client.trigger("visit", payload=payload)
    with pytest.raises(TypeError, match="unexpected argument 'colour'"):
        client.trigger("visit", colour="red")  # type: ignore[call-arg]
    assert client.statistics.buffered == 0


def test_a_key_that_the_server_may_have_forgotten_is_not_sent_again(
    connect: Connect, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[DeliveryError] = []
    service.faults += [respond("503 Unavailable")]
    client = connect(on_error=errors.append)
    sender = client._senders[TRIGGERS]
    monkeypatch.setattr(sender, "kind", replace(TRIGGERS, repeatable_seconds=0.0))
    client.trigger("visit")
    assert client.flush()
    assert isinstance(errors[0], UnavailableError)
    assert len(service.paths) == 1
