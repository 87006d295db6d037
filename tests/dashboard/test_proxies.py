"""Behind trusted proxies a request has the client's address, scheme and host; headers of other peers are ignored."""

from __future__ import annotations

import ipaddress
from typing import Any

import flask
import pytest

import settings
from dashboard import proxies

PROXIES = tuple(ipaddress.ip_network(network) for network in ("10.0.0.0/24", "2001:db8:1::/64"))
FOR, PROTO, HOST = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"
#: The addresses of clients and proxies.
PROXY, OUTER_PROXY, CLIENT, STRANGER = "10.0.0.7", "10.0.0.8", "192.0.2.1", "198.51.100.66"


@pytest.fixture
def config(config: settings.Settings) -> settings.Settings:
    return config.replace(trusted_proxies=PROXIES)


def inspect_request(app: flask.Flask, peer: str, **headers: str) -> dict[str, Any]:
    """The request of this peer as a view sees it."""
    with app.test_client() as client:
        client.get(
            "/healthz",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            environ_overrides={"REMOTE_ADDR": peer},
        )
        request = flask.request
        return {
            "address": proxies.read_client_address(),
            "network": proxies.read_client_network(),
            "direct": proxies.find_direct_peer(),
            "scheme": request.scheme,
            "host": request.host,
        }


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        (PROXY, CLIENT, CLIENT),
        (PROXY, f"{STRANGER}, {CLIENT}", CLIENT),
        (PROXY, f"{STRANGER}, {CLIENT}, {OUTER_PROXY}", CLIENT),
        (PROXY, f"{STRANGER},{CLIENT},{OUTER_PROXY},{OUTER_PROXY}", CLIENT),
        (PROXY, OUTER_PROXY, OUTER_PROXY),
        (PROXY, f"{CLIENT}:4711", CLIENT),
        (PROXY, '"[2001:db8::1]:4711"', "2001:db8::1"),
        (PROXY, "2001:DB8::0001", "2001:db8::1"),
        (PROXY, f"::ffff:{CLIENT}", CLIENT),
        (PROXY, "2001:db8::1%25eth0", "2001:db8::1"),
        ("2001:db8:1::7", f"{CLIENT}, 2001:db8:1::8", CLIENT),
        (f"::ffff:{PROXY}", CLIENT, CLIENT),
        (PROXY, None, PROXY),
        (STRANGER, CLIENT, STRANGER),
        (STRANGER, f"{CLIENT}, {PROXY}", STRANGER),
        ("127.0.0.1", CLIENT, "127.0.0.1"),
        ("", CLIENT, ""),
        ("unix:", CLIENT, "unix:"),
    ],
)
def test_the_client_is_the_first_untrusted_address_from_the_right(
    app: flask.Flask, peer: str, forwarded_for: str | None, address: str
) -> None:
    headers = {"X_Forwarded_For": forwarded_for} if forwarded_for else {}
    assert inspect_request(app, peer, **headers)["address"] == address


@pytest.mark.parametrize(
    "value",
    ["", " ", ",", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "[", "[]", "::::", '"', '"a, b', "\x00", "ü", "<b>"],
)
def test_an_invalid_address_ends_the_walk_at_the_last_proxy(app: flask.Flask, value: str) -> None:
    assert inspect_request(app, PROXY, X_Forwarded_For=value)["address"] == PROXY
    assert inspect_request(app, PROXY, X_Forwarded_For=f"{CLIENT}, {value}, {OUTER_PROXY}")["address"] == OUTER_PROXY
    assert inspect_request(app, PROXY, X_Forwarded_For=f"{value}, {CLIENT}")["address"] == CLIENT


def test_an_untrusted_peer_cannot_set_scheme_host_or_address(app: flask.Flask) -> None:
    for peer in (STRANGER, "127.0.0.1", CLIENT):
        request = inspect_request(
            app, peer, X_Forwarded_For=CLIENT, X_Forwarded_Proto="https", X_Forwarded_Host="evil.example",
            X_Forwarded_Port="443", X_Forwarded_Prefix="/x", Forwarded="for=1.1.1.1;proto=https;host=evil.example",
            X_Real_IP="1.1.1.1",
        )  # fmt: skip
        assert (request["address"], request["scheme"], request["host"]) == (peer, "http", "localhost")


@pytest.mark.parametrize(
    ("forwarded_for", "proto", "scheme"),
    [
        (CLIENT, "https", "https"),
        (CLIENT, "HTTPS", "https"),
        (CLIENT, "https, http", "http"),
        (CLIENT, "http, https", "https"),
        (f"{CLIENT}, {OUTER_PROXY}", "https, http", "https"),
        (f"{CLIENT}, {OUTER_PROXY}", "http, https, http", "https"),
        (f"{CLIENT}, {OUTER_PROXY}", "https", "https"),
        (CLIENT, "javascript", "http"),
        (CLIENT, "", "http"),
        (CLIENT, ",", "http"),
        (CLIENT, "ftp", "http"),
    ],
)
def test_the_outermost_trusted_proxy_sets_the_scheme(
    app: flask.Flask, forwarded_for: str, proto: str, scheme: str
) -> None:
    assert inspect_request(app, PROXY, X_Forwarded_For=forwarded_for, X_Forwarded_Proto=proto)["scheme"] == scheme


def test_the_outermost_trusted_proxy_sets_the_host(app: flask.Flask) -> None:
    hop = {"X_Forwarded_For": CLIENT}
    assert inspect_request(app, PROXY, **hop, X_Forwarded_Host="beckon.example:8443")["host"] == "beckon.example:8443"
    assert (
        inspect_request(app, PROXY, **hop, X_Forwarded_Host="evil.example, beckon.example")["host"] == "beckon.example"
    )
    assert inspect_request(app, PROXY, **hop)["host"] == "localhost"
    two = {"X_Forwarded_For": f"{CLIENT}, {OUTER_PROXY}"}
    assert inspect_request(app, PROXY, **two, X_Forwarded_Host="beckon.example, inner")["host"] == "beckon.example"


def test_a_limit_by_address_counts_an_ipv6_network_as_one_client(app: flask.Flask) -> None:
    assert inspect_request(app, CLIENT)["network"] == CLIENT
    assert (
        inspect_request(app, "2001:db8:5::1")["network"]
        == inspect_request(app, "2001:db8:5::ffff:1")["network"]
        == "2001:db8:5::/64"
    )
    assert inspect_request(app, "2001:db8:5:1::1")["network"] != "2001:db8:5::/64"


def test_a_forwarded_request_has_no_direct_peer(app: flask.Flask) -> None:
    assert str(inspect_request(app, "127.0.0.1")["direct"]) == "127.0.0.1"
    assert str(inspect_request(app, PROXY)["direct"]) == PROXY
    for header in (
        "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP", "X-Client-IP",
        "X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Envoy-External-Address",
    ):  # fmt: skip
        for peer in ("127.0.0.1", PROXY):
            assert inspect_request(app, peer, **{header: "x"})["direct"] is None, (header, peer)


def test_metrics_reject_forwarded_requests_and_invalid_addresses(app: flask.Flask) -> None:
    client = app.test_client()
    for headers in ({FOR: "127.0.0.1"}, {PROTO: "https"}, {HOST: "localhost"}, {"Forwarded": "for=127.0.0.1"}):
        for peer in ("127.0.0.1", PROXY):
            response = client.get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
            assert response.status_code == 403, (headers, peer)
    for peer, status in (("127.0.0.1", 200), ("::ffff:127.0.0.1", 200), ("::1", 200), ("", 403), ("unix:", 403)):
        assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": peer}).status_code == status, peer


def test_cookies_are_secure_where_a_trusted_proxy_sets_https(app: flask.Flask) -> None:
    def cookies(peer: str) -> str:
        headers = {FOR: CLIENT, PROTO: "https"}
        response = app.test_client().get("/sign-in", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
        return str(response.headers.getlist("Set-Cookie"))

    assert "Secure" in cookies(PROXY)
    assert "Secure" not in cookies(STRANGER)


def test_without_trusted_proxies_loopback_is_not_trusted() -> None:
    assert settings.load({}).trusted_proxies == ()
