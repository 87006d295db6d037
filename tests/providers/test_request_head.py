"""The head of a request: no value can add a field, and the host is written as in the URL."""

from __future__ import annotations

import pytest

from providers.request_head import format_head, format_host


def test_a_head_has_the_request_line_and_each_field() -> None:
    head = format_head("POST", "/v3/x?y=1", {"Host": "example.com", "X-Name": "Zoë"})
    assert head == "POST /v3/x?y=1 HTTP/1.1\r\nHost: example.com\r\nX-Name: Zoë\r\n\r\n".encode("latin-1")


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("/", "X-Name", "a\r\nX-Other: b"),
        ("/", "X-Name", "a\nX-Other: b"),
        ("/", "X-Name", "a\rb"),
        ("/", "X-Name", "a\0b"),
        ("/", "X-Name\r\nX-Other", "a"),
        ("/", "X Name", "a"),
        ("/", "", "a"),
        ("/", "X-Name:", "a"),
        ("/", "X-Name", "日本"),
        ("/ HTTP/1.1\r\nX-Other: b", "X-Name", "a"),
        ("/a b", "X-Name", "a"),
        ("/ä", "X-Name", "a"),
        ("", "X-Name", "a"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused(target: str, name: str, value: str) -> None:
    with pytest.raises(ValueError):
        format_head("GET", target, {name: value})


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("example.com", 443, "example.com"),
        ("example.com", 8443, "example.com:8443"),
        ("::1", 443, "[::1]"),
        ("fe80::1%eth0", 8080, "[fe80::1]:8080"),
        ("bücher.example", 443, "xn--bcher-kva.example"),
    ],
)
def test_a_host_has_its_port_unless_it_is_the_schemes(host: str, port: int, expected: str) -> None:
    assert format_host(host, port, 443) == expected
