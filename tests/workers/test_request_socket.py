"""The reading of requests: deadlines of a body, the end of one that is not read, and turns for others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gevent
import pytest
from gevent import socket
from werkzeug.exceptions import RequestTimeout

from workers import request_socket
from workers.request_socket import (
    BYTES_PER_SECOND,
    FREE_SECONDS,
    MAX_UNREAD_BYTES,
    TURN_BYTES,
    TURN_SECONDS,
    RequestSocket,
    compute_wait,
)


def set_clocks(monkeypatch: pytest.MonkeyPatch, **clocks: Callable[[], float]) -> None:
    """Replace clocks of the module alone: other threads go on with their own."""
    own = {"monotonic": time.monotonic, "thread_time": time.thread_time}
    monkeypatch.setattr(request_socket, "time", SimpleNamespace(**{**own, **clocks}))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, RequestSocket]]:
    """A client's socket, and the server's that reads a body."""
    client, server = socket.socketpair()
    reading = RequestSocket(server)
    reading.begin_request()
    yield client, reading
    client.close()
    server.close()


@pytest.mark.parametrize(
    ("elapsed", "received", "seconds"),
    [
        (0, 0, FREE_SECONDS),
        (5, 0, FREE_SECONDS - 5),
        (FREE_SECONDS, 0, 0),
        # A byte a second.
        (FREE_SECONDS + 1, 21, -1),
        (FREE_SECONDS + 1, 2 * BYTES_PER_SECOND, 1),
        (3, 100 * BYTES_PER_SECOND, FREE_SECONDS),
        (121, 100 * BYTES_PER_SECOND, -1),
    ],
)
def test_a_body_has_a_time_that_grows_with_what_arrived(elapsed: float, received: int, seconds: float) -> None:
    assert compute_wait(elapsed, received) == pytest.approx(seconds, abs=0.01)


def test_a_client_that_pauses_too_long_in_a_body_gets_a_timeout(
    pair: tuple[socket.socket, RequestSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, reading = pair
    monkeypatch.setattr(request_socket, "FREE_SECONDS", 0.05)
    client.sendall(b"{")
    assert reading.recv(100) == b"{"
    with pytest.raises(RequestTimeout):
        reading.recv(100)


def test_bytes_that_arrive_after_the_deadline_of_the_body_are_too_late(
    pair: tuple[socket.socket, RequestSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, reading = pair
    clock = iter((100.0, 110.0, 100.0 + FREE_SECONDS + 1))
    monkeypatch.setattr(
        request_socket, "time", SimpleNamespace(monotonic=lambda: next(clock), thread_time=time.thread_time)
    )
    client.sendall(b"{}")
    assert reading.recv(1) + reading.recv(1) == b"{}"
    client.sendall(b"\n")
    with pytest.raises(RequestTimeout):
        reading.recv(1)


def test_the_next_request_has_a_deadline_of_its_own(
    pair: tuple[socket.socket, RequestSocket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, reading = pair
    clock = iter((100.0, 500.0))
    monkeypatch.setattr(
        request_socket, "time", SimpleNamespace(monotonic=lambda: next(clock), thread_time=time.thread_time)
    )
    client.sendall(b"{}GET /")
    assert reading.recv(2) == b"{}"
    reading.end_request()
    assert reading.recv(5) == b"GET /"
    reading.begin_request()
    client.sendall(b"{}")
    assert reading.recv(2) == b"{}"


def test_a_body_that_goes_on_after_its_response_ends_the_connection(
    pair: tuple[socket.socket, RequestSocket],
) -> None:
    client, reading = pair
    reading.end_request()
    sender = gevent.spawn(client.sendall, b"x" * (MAX_UNREAD_BYTES + 1024 * 1024))
    with pytest.raises(ConnectionResetError):
        list(iter(lambda: reading.recv(64 * 1024), b""))
    sender.kill()


def test_others_have_their_turn_while_bytes_are_always_there() -> None:
    class Endless:
        def recv(self, size: int) -> bytes:
            return b"x" * size

    reading, turns = RequestSocket(Endless()), []
    reading.end_request()
    other = gevent.spawn(turns.append, 1)
    for _ in range(5):
        reading.recv(64 * 1024)
    assert turns == [1]
    assert other.dead


def test_only_a_large_body_is_read_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(request_socket.gevent, "sleep", pauses.append)
    reading = RequestSocket(SimpleNamespace(recv=lambda size: b"x" * size))
    reading.begin_request()
    for _ in range(8):
        reading.recv(TURN_BYTES)
    assert pauses == [0] * 4 + [TURN_SECONDS] * 4


def test_others_have_their_turn_while_few_bytes_are_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(request_socket.gevent, "sleep", pauses.append)
    worked = iter([0.0, *(number * 0.003 for number in range(1, 20))])
    monkeypatch.setattr(
        request_socket, "time", SimpleNamespace(monotonic=time.monotonic, thread_time=lambda: next(worked))
    )
    reading = RequestSocket(SimpleNamespace(recv=lambda size: b"1\r\na\r\n" * (size // 6)))
    reading.begin_request()
    for _ in range(8):
        reading.recv(8192)
    assert pauses == [0, 0, 0, 0]
