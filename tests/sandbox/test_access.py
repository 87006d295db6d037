"""The sandbox serves programs on this machine and no web page."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.server import RunningSandbox, run_sandbox

EVERY_PATH = pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_sandbox/messages"), ("HEAD", "/_sandbox/messages"), ("OPTIONS", "/_sandbox/events"),
        ("DELETE", "/_sandbox"), ("POST", "/_sandbox/faults"), ("POST", "/_sandbox/events"), ("GET", "/"),
        ("POST", "/v2/messages"), ("POST", "/v3/example.com/messages"), ("GET", "/v25.0/157"), ("POST", "/_webhook/x"),
    ],
)  # fmt: skip
FAULT = json.dumps({"provider": "telnyx", "fault": "http_500"}).encode()


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as instance:
        yield instance


def get_port(sandbox: RunningSandbox) -> int:
    return urlsplit(sandbox.url).port or 0


def send_request(
    sandbox: RunningSandbox, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Return status, headers and body for exactly these headers; no Host is added."""
    connection = http.client.HTTPConnection("127.0.0.1", get_port(sandbox), timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, text in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, text)
    connection.endheaders(body)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.msg, content


def build_headers(sandbox: RunningSandbox, **more: str) -> dict[str, str]:
    return {
        "Host": f"127.0.0.1:{get_port(sandbox)}", **{name.replace("_", "-"): text for name, text in more.items()},
    }  # fmt: skip


@EVERY_PATH
@pytest.mark.parametrize(
    "host",
    [None, "", "evil.com", "evil.com:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}", "127.0.0.1:{port}, a",
     "localhost.evil.com:{port}", "user@127.0.0.1:{port}", "[::2]:{port}", "0.0.0.0:{port}", "127.0.0.1:0{port}"],
)  # fmt: skip
def test_another_host_is_421_on_every_path(sandbox: RunningSandbox, method: str, path: str, host: str | None) -> None:
    headers = {} if host is None else {"Host": host.format(port=get_port(sandbox))}
    assert send_request(sandbox, method, path, {**headers, "Content-Type": "application/json"})[0] == 421


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_every_loopback_name_is_accepted(sandbox: RunningSandbox, name: str) -> None:
    assert send_request(sandbox, "GET", "/_sandbox/messages", {"Host": f"{name}:{get_port(sandbox)}"})[0] == 200


@EVERY_PATH
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.com"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://localhost:{port}"},
        {"Origin": "http://127.0.0.1"}, {"Origin": "https://127.0.0.1:{port}"}, {"Origin": "http://127.0.0.1:8080"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "CROSS-SITE"},
    ],
)  # fmt: skip
def test_a_page_of_another_origin_is_403_on_every_path(
    sandbox: RunningSandbox, method: str, path: str, headers: dict[str, str]
) -> None:
    page = {name: text.format(port=get_port(sandbox)) for name, text in headers.items()}
    status, response_headers, _ = send_request(
        sandbox, method, path, {**build_headers(sandbox), **page, "Content-Type": "application/json"}, FAULT
    )
    assert status == 403
    assert [name for name in response_headers if name.lower().startswith("access-control-")] == []
    assert sandbox.sandbox.store.faults == []


def test_the_sandboxs_own_origin_has_access(sandbox: RunningSandbox) -> None:
    headers = build_headers(sandbox, Origin=sandbox.url, Sec_Fetch_Site="same-origin")
    status, response_headers, _ = send_request(sandbox, "GET", "/_sandbox/messages", headers)
    assert status == 200
    assert (response_headers["Cross-Origin-Resource-Policy"], response_headers["X-Content-Type-Options"]) == (
        "same-origin",
        "nosniff",
    )
    assert send_request(sandbox, "GET", "/_sandbox/messages", build_headers(sandbox, Sec_Fetch_Site="none"))[0] == 200


@pytest.mark.parametrize("path", ["/_sandbox/events", "/_sandbox/faults", "/_sandbox", "/_sandbox/nothing"])
@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
     "text/plain; application/json", "application/json, text/plain", "application/jsonp", "application/ld+json"],
)  # fmt: skip
def test_a_body_that_is_not_json_is_415_for_scripts(sandbox: RunningSandbox, path: str, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    for method in ("POST", "DELETE"):
        assert send_request(sandbox, method, path, {**build_headers(sandbox), **headers}, FAULT)[0] == 415
    assert sandbox.sandbox.store.faults == []


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/json;x=y"])
def test_json_with_parameters_is_accepted(sandbox: RunningSandbox, kind: str) -> None:
    assert send_request(sandbox, "POST", "/_sandbox/faults", build_headers(sandbox, Content_Type=kind), FAULT)[0] == 201
    assert send_request(sandbox, "DELETE", "/_sandbox", build_headers(sandbox))[0] == 200


def test_provider_endpoints_accept_their_forms(sandbox: RunningSandbox) -> None:
    headers = build_headers(sandbox, Content_Type="application/x-www-form-urlencoded", Authorization="Basic x")
    body = b"to=ada@example.com&from=b@d.example&subject=c&text=d"
    assert send_request(sandbox, "POST", "/v3/d/messages", headers, body)[0] == 200


def test_a_head_request_has_no_body(sandbox: RunningSandbox) -> None:
    with socket.create_connection(("127.0.0.1", get_port(sandbox)), timeout=10) as sock:
        request = (
            f"HEAD /_sandbox/messages HTTP/1.1\r\nHost: 127.0.0.1:{get_port(sandbox)}\r\nConnection: close\r\n\r\n"
        )
        sock.sendall(request.encode())
        raw = b"".join(iter(lambda: sock.recv(4096), b""))
    assert raw.endswith(b"\r\n\r\n")


def test_it_listens_only_on_loopback(sandbox: RunningSandbox, other_addresses: list[str]) -> None:
    for address in other_addresses:
        with pytest.raises(OSError):
            socket.create_connection((address, get_port(sandbox)), timeout=2).close()


@pytest.fixture
def other_addresses() -> list[str]:
    """Return addresses of this machine besides 127.0.0.1."""
    address_infos: list[Any] = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
    return sorted({str(entry[4][0]) for entry in address_infos} - {"127.0.0.1"} | {"127.0.0.2"})


@pytest.mark.parametrize("path", ["/_sandbox/faults", "/_sandbox/events", "/v2/messages", "/v25.0/157/messages"])
@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"1" * 5000, b'{"provider": null, "event": [], "messageId": {}}'],
    ids=["deep list", "deep object", "no text", "long number", "wrong types"],
)
def test_an_invalid_body_gets_an_error_response(sandbox: RunningSandbox, path: str, body: bytes) -> None:
    headers = {**build_headers(sandbox), "Content-Type": "application/json", "Authorization": "Bearer x"}
    assert 400 <= send_request(sandbox, "POST", path, headers, body)[0] < 500
