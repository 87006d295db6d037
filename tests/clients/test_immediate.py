"""`trigger_now` and the asyncio client answer the executions, or say why there are none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from beckon_client import (
    AsyncClient,
    BufferFullError,
    Client,
    InvalidConfigurationError,
    RejectedError,
    UnavailableError,
)
from tests.clients.conftest import Service, lose_answer, respond
from tests.dashboard.producers import Producer
from tests.support.waiting import eventually

ADA: Any = {"externalId": "c-1", "firstName": "Ada", "email": "ada@example.com"}

Connect = Callable[..., Client]
Count = Callable[[], int]


def test_the_answer_has_the_executions(connect: Connect, alice: Producer) -> None:
    automation = alice.create()
    client = connect()
    answer = client.trigger_now("contact.created", contact=ADA, idempotency_key="k")
    assert [execution["automationId"] for execution in answer["executions"]] == [automation["id"]]
    assert client.trigger_now("contact.created", contact=ADA, idempotency_key="k") == {**answer, "duplicate": True}


def test_an_invalid_trigger_raises_with_its_field_paths(connect: Connect) -> None:
    with pytest.raises(RejectedError) as raised:
        connect().trigger_now("visit", contact={"email": "nonsense", "timezone": "Mars/Olympus"})
    assert raised.value.status == 422
    assert {problem["path"] for problem in raised.value.errors} == {"contact.email", "contact.timezone"}
    assert "nonsense" not in str(raised.value)


@pytest.mark.usefixtures("quick_retries")
def test_a_temporary_failure_is_retried_with_the_same_key(
    connect: Connect, service: Service, count_triggers: Count
) -> None:
    service.faults += [respond("503 Unavailable"), lose_answer, respond("409 Conflict", Retry_After="0")]
    assert connect().trigger_now("visit")["duplicate"] is True
    assert (count_triggers(), len(service.paths)) == (1, 4)


def test_a_call_ends_when_retry_after_is_later_than_its_time(connect: Connect, service: Service) -> None:
    service.faults += [respond("429 Too Many Requests", Retry_After="3600")]
    with pytest.raises(UnavailableError) as raised:
        connect().trigger_now("visit", timeout=5)
    assert (raised.value.status, raised.value.retry_after, len(service.paths)) == (429, 3600, 1)


def test_a_server_that_never_answers_ends_the_call(connect: Connect, service: Service) -> None:
    service.gate.clear()
    with pytest.raises(UnavailableError):
        connect().trigger_now("visit", timeout=0.1)


def test_the_key_is_sent_to_beckon_alone_and_redirects_raise(connect: Connect, service: Service) -> None:
    service.faults += [respond("301 Moved", Location="https://elsewhere.example/")]
    with pytest.raises(RejectedError, match="Set BECKON_URL"):
        connect().trigger_now("visit")


@pytest.mark.parametrize(
    "url",
    [
        "", "beckon.example.com", "ftp://beckon.example.com", "https://", "https://ada:secret@beckon.example.com",
        "https://beckon.example.com/?key=1", "https://beckon.example.com/#a", "https://beckon.example.com\n",
        "https://beckon.example.com:99999", "https://[::1",
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_when_the_client_is_created(url: str) -> None:
    with pytest.raises(InvalidConfigurationError):
        Client(url, "bk_1")


@pytest.mark.parametrize("key", ["", "bk secret", "bk_secret\r\nX-Other: 1", "clé"])
def test_a_wrong_key_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InvalidConfigurationError) as raised:
        Client("https://beckon.example.com", key)
    assert "secret" not in str(raised.value)


def test_the_url_and_the_key_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, service: Service, alice: Producer
) -> None:
    monkeypatch.setenv("BECKON_URL", service.url + "/")
    monkeypatch.setenv("BECKON_API_KEY", alice.secret)
    with Client() as client:
        assert client.trigger_now("visit")["success"] is True


def _run(service: Service, alice: Producer, use: Callable[[AsyncClient], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncClient(service.url, alice.secret, linger_seconds=0.01, **options) as client:
            return await use(client)

    return asyncio.run(main())


def test_coroutines_buffer_and_deliver(service: Service, alice: Producer, count_triggers: Count) -> None:
    async def use(client: AsyncClient) -> Any:
        await asyncio.gather(*(client.trigger("visit") for _ in range(50)))
        answers = await asyncio.gather(*(client.trigger_now("visit") for _ in range(20)))
        assert await client.flush()
        return [answer["duplicate"] for answer in answers]

    assert _run(service, alice, use) == [False] * 20
    assert count_triggers() == 70


def test_the_event_loop_goes_on_while_the_buffer_is_full(service: Service, alice: Producer) -> None:
    async def use(client: AsyncClient) -> None:
        await client.trigger("visit")
        waiting = asyncio.create_task(client.trigger("visit"))
        # Another thread opens the gate once the loop has run on past the waiting call.
        await asyncio.to_thread(eventually, lambda: client.statistics.buffered == 1)
        assert not waiting.done()
        service.gate.set()
        await waiting

    service.gate.clear()
    _run(service, alice, use, max_buffered=1, max_block_seconds=3600)


def test_a_full_buffer_raises_in_a_coroutine_too(service: Service, alice: Producer) -> None:
    async def use(client: AsyncClient) -> None:
        await client.trigger("visit")
        with pytest.raises(BufferFullError):
            await client.trigger("visit")
        service.gate.set()

    service.gate.clear()
    _run(service, alice, use, max_buffered=1, max_block_seconds=0)


def test_a_cancelled_call_ends_at_once_and_its_retries_too(service: Service, alice: Producer) -> None:
    async def use(client: AsyncClient) -> None:
        call = asyncio.create_task(client.trigger_now("visit", timeout=3600))
        await asyncio.to_thread(eventually, lambda: service.paths)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    service.faults += [respond("503 Unavailable", Retry_After="3000")]
    _run(service, alice, use)
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("beckon-client-now")])
    assert len(service.paths) == 1
