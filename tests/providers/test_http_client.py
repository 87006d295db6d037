"""The phase of a request decides the meaning of its failure, and no response can harm the caller."""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from urllib3.connection import HTTPConnection

from providers import http_client, responses, telnyx
from providers.base import LeaseLost, OutgoingMessage
from providers.registry import build_sandbox_account
from rules.errors import (
    ConfigurationError,
    InvalidRequest,
    NetworkError,
    ProviderTimeout,
    ProviderUnavailable,
    UnknownOutcome,
)
from sandbox.server import RunningSandbox

Server = Any
Start = Callable[..., Server]


def build_call(server: Server, *, effect: bool = True, **more: Any) -> http_client.Call:
    fields: dict[str, Any] = {"read_seconds": 5.0, "connect_seconds": 2.0, "body": b"hello", **more}
    return http_client.Call(label="Acme", method="POST", url=f"{server.url}/send", headers={}, effect=effect, **fields)


def respond_with(response: bytes, *, then: Callable[[Server, socket.socket], None] | None = None) -> Any:
    def script(server: Server, sock: socket.socket) -> None:
        server.read(sock)
        sock.sendall(response)
        if then is not None:
            then(server, sock)

    return script


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_connection_is_reused(scripted_server: Start) -> None:
    server = scripted_server(respond_with(OK, then=respond_with(OK)))

    results = [http_client.send_request(build_call(server)) for _ in range(2)]

    assert [result.text for result in results] == ["ok", "ok"]
    assert server.connections == 1


def test_a_connection_that_the_server_closed_is_not_reused(scripted_server: Start) -> None:
    server = scripted_server(respond_with(OK), respond_with(OK))
    http_client.send_request(build_call(server))
    assert server.done.wait(5)

    assert http_client.send_request(build_call(server)).text == "ok"

    assert len(server.requests) == 2
    assert server.connections == 2


def test_a_connection_that_was_idle_too_long_is_not_reused(
    scripted_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "REUSE_SECONDS", 0.0)
    server = scripted_server(respond_with(OK), respond_with(OK))

    for _ in range(2):
        http_client.send_request(build_call(server))

    assert server.connections == 2


def test_a_reused_connection_that_breaks_after_the_write_is_not_resent(scripted_server: Start) -> None:
    def swallow(server: Server, sock: socket.socket) -> None:
        server.read(sock)

    server = scripted_server(respond_with(OK, then=swallow), respond_with(OK))
    http_client.send_request(build_call(server))

    with pytest.raises(UnknownOutcome):
        http_client.send_request(build_call(server))

    assert len(server.requests) == 2


def test_a_call_without_an_effect_that_breaks_is_a_network_error(scripted_server: Start) -> None:
    server = scripted_server(lambda server, sock: server.read(sock))

    with pytest.raises(NetworkError, match="closed the connection"):
        http_client.send_request(build_call(server, effect=False))


def test_a_call_without_an_effect_and_without_a_response_is_a_timeout(scripted_server: Start) -> None:
    server = scripted_server(lambda server, sock: (server.read(sock), sock.recv(1)))

    with pytest.raises(ProviderTimeout):
        http_client.send_request(build_call(server, effect=False, read_seconds=0.1))


def test_a_truncated_rejection_is_still_a_rejection(scripted_server: Start) -> None:
    server = scripted_server(respond_with(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\nno such"))

    response = http_client.send_request(build_call(server))

    assert (response.status, response.text) == (400, "no such")


def test_a_truncated_acceptance_is_an_unknown_outcome(scripted_server: Start) -> None:
    server = scripted_server(respond_with(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"id":'))

    with pytest.raises(UnknownOutcome):
        http_client.send_request(build_call(server))


def test_a_response_is_read_up_to_the_maximum(scripted_server: Start) -> None:
    huge = http_client.MAX_RESPONSE_BYTES * 3
    server = scripted_server(respond_with(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % huge + b"x" * huge))

    response = http_client.send_request(build_call(server))

    assert len(response.body) == http_client.MAX_RESPONSE_BYTES
    assert response.truncated
    assert response.json() == {}


def build_endless_sender(data: bytes) -> Callable[[Server, socket.socket], None]:
    """Send this endlessly until the client disconnects."""

    def pour(_: Server, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(data)

    return pour


def test_an_endless_response_is_read_up_to_the_maximum(scripted_server: Start) -> None:
    server = scripted_server(respond_with(b"HTTP/1.1 200 OK\r\n\r\n", then=build_endless_sender(b"x" * 65536)))

    response = http_client.send_request(build_call(server))

    assert (len(response.body), response.truncated) == (http_client.MAX_RESPONSE_BYTES, True)


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Name: again\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nX-Name: ", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Name: again\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;name=%s\r\nx\r\n" % (b"x" * 1000)),
    ],
    ids=["headers", "a header", "trailers", "chunks"],
)
def test_endless_data_besides_the_body_ends_the_call(scripted_server: Start, begun: bytes, more: bytes) -> None:
    server = scripted_server(respond_with(begun, then=build_endless_sender(more)))

    with pytest.raises(UnknownOutcome, match="closed the connection"):
        http_client.send_request(build_call(server))


@pytest.mark.parametrize(
    "begun", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 "]
)
def test_an_endlessly_dripping_response_times_out(scripted_server: Start, begun: bytes) -> None:
    def drip(server: Server, sock: socket.socket) -> None:
        sock.settimeout(0.02)
        while True:
            try:
                if not sock.recv(1):
                    return
            except TimeoutError:
                sock.sendall(b"x")

    server = scripted_server(respond_with(begun, then=drip))

    # The server stops only after the client has closed the connection.
    with pytest.raises(UnknownOutcome, match="did not respond within"):
        http_client.send_request(build_call(server, read_seconds=0.2))

    assert server.done.wait(10)


def test_a_reset_before_the_first_byte_is_safe_to_retry(
    scripted_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(server: Server, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server = scripted_server(respond_with(OK, then=reset))
    http_client.send_request(build_call(server))
    assert server.done.wait(5)
    # As if the reset had come between the check of the connection and the write.
    monkeypatch.setattr(HTTPConnection, "is_connected", True)

    with pytest.raises(NetworkError, match="nothing was sent"):
        http_client.send_request(build_call(server))


def test_an_unrequested_compressed_response_is_read(scripted_server: Start) -> None:
    packed = gzip.compress(b'{"id": "1"}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    server = scripted_server(respond_with(head.encode() + packed))

    assert http_client.send_request(build_call(server)).json() == {"id": "1"}


def test_a_redirect_is_returned_and_not_followed(scripted_server: Start) -> None:
    server = scripted_server(respond_with(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"))

    assert http_client.send_request(build_call(server)).status == 302
    assert len(server.requests) == 1


@pytest.mark.parametrize("garbage", [b"", b"\x00\xff\x00\xff\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_a_response_that_is_not_http_is_an_unknown_outcome(scripted_server: Start, garbage: bytes) -> None:
    server = scripted_server(respond_with(garbage))

    with pytest.raises(UnknownOutcome):
        http_client.send_request(build_call(server))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\nX-Last: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\nX-Name: bare\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nX-Name: a\x01b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok and more",
    ],
)
def test_a_response_may_use_any_framing_of_http(scripted_server: Start, answer: bytes) -> None:
    server = scripted_server(respond_with(answer))

    assert http_client.send_request(build_call(server)).text == "ok"


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_a_connection_that_cannot_be_reused_is_not_pooled(scripted_server: Start, first: bytes) -> None:
    server = scripted_server(respond_with(first, then=lambda _, sock: sock.recv(1)), respond_with(OK))

    assert [http_client.send_request(build_call(server)).text for _ in range(2)] == ["ok", "ok"]
    assert server.connections == 2


def test_a_repeated_header_is_joined_into_a_list(scripted_server: Start) -> None:
    server = scripted_server(respond_with(b"HTTP/1.1 429 No\r\nx-limit: 1\r\nX-Limit: 2\r\nContent-Length: 0\r\n\r\n"))

    assert http_client.send_request(build_call(server)).headers.get("X-LIMIT") == "1, 2"


def test_a_malformed_response_does_not_log_the_url(scripted_server: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = scripted_server(respond_with(b"HTTP/1.1 200 OK\r\nbroken header\r\nContent-Length: 2\r\n\r\nok"))
    caplog.set_level(logging.WARNING)

    with pytest.raises(UnknownOutcome):
        http_client.send_request(build_call(server))

    assert "/send" not in caplog.text


@pytest.mark.parametrize("url", ["nowhere", "http://", "http://[::1/x", "http://exa mple.com/"])
def test_a_malformed_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises((ConfigurationError, NetworkError)):
        http_client.send_request(http_client.Call(label="Acme", method="GET", url=url, headers={}))


def test_a_header_of_two_lines_is_rejected_before_anything_is_written(scripted_server: Start) -> None:
    server = scripted_server(respond_with(OK))

    with pytest.raises(ConfigurationError, match="malformed"):
        http_client.send_request(
            http_client.Call(label="Acme", method="GET", url=server.url, headers={"X-Name": "a\r\nX-Evil: b"})
        )
    assert server.requests == []


def test_a_small_request_is_one_write_and_a_large_one_two(
    scripted_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    send = HTTPConnection.send
    monkeypatch.setattr(HTTPConnection, "send", lambda self, data: (sizes.append(len(data)), send(self, data))[1])

    # A server each: the second call must not write to the connection that the first one's closes.
    http_client.send_request(build_call(scripted_server(respond_with(OK)), body=b"x"))
    large = b"x" * http_client.MAX_SINGLE_WRITE_BYTES
    http_client.send_request(build_call(scripted_server(respond_with(OK)), body=large))

    assert len(sizes) == 3
    assert sizes[2] == http_client.MAX_SINGLE_WRITE_BYTES


def test_a_failed_tls_handshake_is_a_network_error(scripted_server: Start) -> None:
    server = scripted_server(lambda _, sock: (sock.recv(65536), sock.sendall(b"not TLS at all")))
    url = server.url.replace("http://", "https://")

    with pytest.raises(NetworkError, match="TLS"):
        http_client.send_request(http_client.Call(label="Acme", method="POST", url=url, headers={}, effect=True))


def test_a_forked_process_has_its_own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = http_client.get_connection_pool()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    try:
        assert http_client.get_connection_pool() is not ours
    finally:
        http_client._pools.pop(-1)


@pytest.mark.parametrize(
    ("status", "effect", "expected"),
    [
        (500, True, UnknownOutcome),
        (503, True, UnknownOutcome),
        (500, False, ProviderUnavailable),
        (204, True, UnknownOutcome),
        (302, True, InvalidRequest),
        (418, True, InvalidRequest),
        (418, False, InvalidRequest),
    ],
)
def test_an_undocumented_status_is_classified(status: int, effect: bool, expected: type[Exception]) -> None:
    assert (
        type(responses.build_unexpected_status_error("Acme", responses.Response(status, {}, b""), effect=effect))
        is expected
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("64.57", 64.57),
        ("-3", 0.0),
        ("inf", 86_400.0),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Mon, 20 Dec 2021 20:33:21 GMT", 0.0),
    ],
)
def test_a_wait_is_parsed_from_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert responses.parse_delay_seconds(text) == seconds


def test_each_thread_checks_its_own_lease(sandbox: RunningSandbox) -> None:
    account = build_sandbox_account("telnyx", sandbox.url)

    def send(n: int) -> bool:
        message = OutgoingMessage(key=str(n), to=f"+1555{n:04}", body="Hello", holds_lease=lambda: n % 2 == 0)
        try:
            telnyx.PROVIDER.send(account, message)
        except LeaseLost:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        sent = list(threads.map(send, range(200)))

    assert sent == [n % 2 == 0 for n in range(200)]
    assert {message["to"] for message in sandbox.list_messages()} == {f"+1555{n:04}" for n in range(0, 200, 2)}
