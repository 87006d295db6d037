"""The sandbox's own API: its endpoints for scripts, and the faults that it plays."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox import store
from sandbox.server import RunningSandbox, run_sandbox
from tests.support.waiting import eventually


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as instance:
        yield instance


def send_request(sandbox: RunningSandbox, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    try:
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"Content_Type": "application/json", **headers} if isinstance(body, (dict, list)) else headers
        connection.request(method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        content = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(content) if is_json else content.decode()
    finally:
        connection.close()


def send_text(sandbox: RunningSandbox, number: str, text: str = "Hello") -> tuple[int, Any]:
    body = {"to": number, "text": text, "from": "+15550199"}
    return send_request(sandbox, "POST", "/v2/messages", body, Authorization="Bearer hushhush")


def test_accepted_messages_are_listed_in_order_and_filtered(sandbox: RunningSandbox) -> None:
    for number in ("+15550100", "+15550101", "+15550100"):
        send_text(sandbox, number, text=f"to {number}")
    send_request(sandbox, "POST", "/services/T0/B0/sandbox", {"text": "notice"})

    everything = send_request(sandbox, "GET", "/_sandbox/messages")[1]["messages"]
    matching = send_request(sandbox, "GET", "/_sandbox/messages?provider=telnyx&to=%2B15550100")[1]["messages"]

    assert [message["to"] for message in everything] == ["+15550100", "+15550101", "+15550100", "slack"]
    assert len(matching) == 2
    assert set(matching[0]) == {"id", "provider", "to", "at", "path", "headers", "body"}
    assert matching[0]["at"].endswith("Z")
    assert everything == sandbox.list_messages()


def test_credentials_in_headers_are_masked(sandbox: RunningSandbox) -> None:
    send_text(sandbox, "+15550100")
    send_request(sandbox, "POST", "/_webhook/x", b"{}", X_Api_Key="hushhush", Cookie="hushhush", X_Team="blue")

    output = json.dumps(sandbox.list_messages())

    assert "hushhush" not in output
    assert "blue" in output


def test_everything_is_deleted_on_request(sandbox: RunningSandbox) -> None:
    send_text(sandbox, "+15550100")
    send_request(sandbox, "POST", "/_sandbox/faults", {"provider": "telnyx", "fault": "http_500", "times": 0})

    assert send_request(sandbox, "DELETE", "/_sandbox") == (200, {"success": True})

    assert sandbox.list_messages() == []
    assert send_text(sandbox, "+15550100")[0] == 200


def test_a_fault_is_played_the_requested_times_and_only_if_it_matches(sandbox: RunningSandbox) -> None:
    fault = {"provider": "telnyx", "fault": "http_500", "times": 2, "match": {"to": "+15550100"}}
    assert send_request(sandbox, "POST", "/_sandbox/faults", fault)[0] == 201

    assert send_text(sandbox, "+15550101")[0] == 200
    assert [send_text(sandbox, "+15550100")[0] for _ in range(3)] == [500, 500, 200]


def test_times_zero_is_unlimited(sandbox: RunningSandbox) -> None:
    sandbox.add_fault("telnyx", "auth", times=0)

    assert {send_text(sandbox, "+15550100")[0] for _ in range(5)} == {401}


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"provider": "fax", "fault": "auth"},
        {"provider": "telnyx", "fault": "explode"},
        {"provider": "telnyx", "fault": "auth", "times": -1},
        {"provider": "telnyx", "fault": "auth", "times": "many"},
        {"provider": "telnyx", "fault": "slow", "seconds": "long"},
        {"provider": "telnyx", "fault": "auth", "match": {"body": "x"}},
        {"provider": "telnyx", "fault": "auth", "match": 5},
        {"provider": "telnyx", "fault": "refused", "code": 10},
        {"provider": "facebook", "fault": "refused"},
        {"provider": "mailgun", "fault": "blocked"},
        {"provider": "facebook", "fault": "refused", "code": 10, "subcode": "many"},
    ],
)
def test_an_invalid_fault_is_rejected_with_the_reason(sandbox: RunningSandbox, fault: dict[str, Any]) -> None:
    status, response = send_request(sandbox, "POST", "/_sandbox/faults", fault)

    assert status == 422
    assert response["detail"]


@pytest.mark.parametrize(("fault", "kept"), [("reset_before", 0), ("timeout", 0), ("reset_after", 1)])
def test_a_connection_breaks_before_or_after_accepting(sandbox: RunningSandbox, fault: str, kept: int) -> None:
    sandbox.add_fault("telnyx", fault, seconds=0.01)

    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        send_text(sandbox, "+15550100")

    assert len(sandbox.list_messages()) == kept


@pytest.mark.parametrize(("fault", "answer"), [("slow", dict), ("bad_json", str)])
def test_slow_and_bad_json_accept_the_message(sandbox: RunningSandbox, fault: str, answer: type) -> None:
    sandbox.add_fault("telnyx", fault, seconds=0.01)

    host = urlsplit(sandbox.url).netloc
    raw = socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), timeout=10)
    with raw, raw.makefile("rb") as response_file:
        body = b'{"to": "+15550100", "text": "x", "from": "+15550199"}'
        raw.sendall(f"POST /v2/messages HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer x\r\n".encode())
        raw.sendall(b"Connection: close\r\n")
        raw.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        content = response_file.read().partition(b"\r\n\r\n")[2]

    assert len(sandbox.list_messages()) == 1
    try:
        assert isinstance(json.loads(content), answer)
    except ValueError:
        assert answer is str


def test_one_connection_serves_many_requests(sandbox: RunningSandbox) -> None:
    connection = http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=10)
    for _ in range(3):
        connection.request("POST", "/services/T0/B0/x", b'{"text": "hi"}')
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"ok")
        local_address = connection.sock.getsockname()
    assert connection.sock.getsockname() == local_address
    connection.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"hello\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /x HTTP/1.1\r\nX: " + b"a" * 300_000 + b"\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n",
        b"POST /x HTTP/1.1\r\nContent-Length: +0\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"GET http://evil.example/_sandbox/messages HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_malformed_request_is_rejected_without_harm(sandbox: RunningSandbox, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(sandbox.url).port or 0), timeout=10) as sock:
        sock.sendall(raw)
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")
    assert send_text(sandbox, "+15550100")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/nothing", None, {}, 404),
        ("GET", "/_sandbox/nothing", None, {}, 404),
        ("POST", "/v2/messages", {"to": "+1", "text": "x", "from": "y"}, {}, 401),
        ("POST", "/v2/messages", {"text": "x"}, {"Authorization": "Bearer x"}, 400),
        ("POST", "/v2/messages", {"to": "+15550100", "from": "+15550199"}, {"Authorization": "Bearer x"}, 422),
        ("POST", "/v2/messages", {"to": "+15550100", "text": "x"}, {"Authorization": "Bearer x"}, 422),
        ("POST", "/v3/d/messages", b"to=ada@example.com", {}, 401),
        ("POST", "/v3/d/messages", b"to=ada", {"Authorization": "Basic x"}, 400),
        ("POST", "/v3/d/messages", b"to=ada@example.com&from=b@d.example", {"Authorization": "Basic x"}, 400),
        ("POST", "/v3/d/messages", b"to=ada@example.com&from=b@d.example&subject=c", {"Authorization": "Basic x"}, 400),
        (
            "POST",
            "/v3/d/messages",
            b"to=ada@example.com&from=b@d.example&subject=c&text=d",
            {"Authorization": "Basic x"},
            200,
        ),
        ("GET", "/v3/d/events", None, {}, 401),
        ("POST", "/v1beta/models/m:generateContent", {"contents": []}, {}, 403),
        ("POST", "/v1beta/models/gemini-2.5-flash:generateContent", {"contents": 5}, {"x-goog-api-key": "x"}, 400),
        ("POST", "/services/T/B/x", {}, {}, 400),
        ("POST", "/api/v10/webhooks/1/x", {"content": ""}, {}, 400),
        ("POST", "/api/v10/webhooks/1/x", {"content": "hi"}, {}, 204),
        ("POST", "/v25.0/17841405726653026/messages", {"recipient": {"id": "1"}, "message": {}}, {}, 401),
        ("POST", "/v25.0/17841405726653026/messages", {"recipient": []}, {"Authorization": "Bearer x"}, 400),
        (
            "POST",
            "/v25.0/17841405726653026/messages",
            {"recipient": {"id": "1"}, "message": {"text": "é" * 501}},
            {"Authorization": "Bearer x"},
            400,
        ),
        ("POST", "/v25.0/178c/replies", {"message": "Hi"}, {}, 401),
        ("POST", "/v25.0/178c/replies", {}, {"Authorization": "Bearer x"}, 400),
        ("POST", "/v25.0/77_1/comments", {"message": "Hi"}, {"Authorization": "Bearer x"}, 200),
        ("GET", "/v25.0/157?fields=is_user_follow_business", None, {}, 401),
        ("GET", "/v25.0/157?fields=is_user_follow_business", None, {"Authorization": "Bearer x"}, 200),
    ],
)
def test_an_invalid_request_is_rejected_like_its_provider_does(
    sandbox: RunningSandbox, method: str, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    assert send_request(sandbox, method, path, body, **headers)[0] == status


@pytest.mark.parametrize(
    ("account", "recipient", "provider", "to"),
    [
        ("17841405726653026", {"id": "157"}, "instagram", "157"),
        ("17841405726653026", {"comment_id": "178c"}, "instagram", "178c"),
        ("1906385232743851", {"id": "77"}, "facebook", "77"),
    ],
)
def test_metas_channels_are_distinguished_by_account(
    sandbox: RunningSandbox, account: str, recipient: dict[str, str], provider: str, to: str
) -> None:
    body = {"recipient": recipient, "message": {"text": "Hi"}}

    status, response = send_request(sandbox, "POST", f"/v25.0/{account}/messages", body, Authorization="Bearer x")

    assert status == 200
    assert [message["id"] for message in sandbox.list_messages(provider, to)] == [response["message_id"]]


def test_the_oldest_messages_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    message_store = store.Store()
    for n in range(store.MAX_MESSAGES + 1):
        message_store.accept(store.Message(str(n), "slack", "slack", store.now(), "/", {}, {}))

    assert len(message_store.messages) == store.MAX_MESSAGES
    assert message_store.messages[0].id == "1"


def test_the_program_stops_cleanly_on_sigterm() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = f"from sandbox.server import serve; serve({port}, '', {{}})"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=os.getcwd(), stderr=subprocess.PIPE)
    with open_connection(port):
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)

    assert process.returncode == 0
    assert b"Traceback" not in errors


def open_connection(port: int) -> socket.socket:
    """Connect to the program as soon as it listens, and complete one request."""

    def connect() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=10)
        except ConnectionRefusedError:
            return None

    sock = eventually(connect)
    sock.sendall(f"GET /_sandbox/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK")
    return sock
