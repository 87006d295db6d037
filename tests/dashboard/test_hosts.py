"""Requests for other hosts are rejected before any handler runs."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from flask.testing import FlaskClient

import settings
from settings import Settings
from tests.dashboard.producers import Producer

PROXY = "10.0.0.7"

OURS = [
    "localhost",
    "localhost:8080",
    "LOCALHOST",
    "LocalHost:1",
    "localhost.",
    "localhost.:65535",
    "127.0.0.1",
    "127.0.0.1:8080",
    "[::1]",
    "[::1]:8080",
    "[0:0:0:0:0:0:0:1]",
    "[::0001]:80",
]
OTHERS = [
    None,
    "",
    " ",
    "evil.example",
    "EVIL.EXAMPLE",
    "evil.example.",
    "localhost.evil.example",
    "evil.example:8080",
    "localhost:evil.example",
    "localhost@evil.example",
    "evil.example@localhost",
    "user:password@localhost",
    "localhost,evil.example",
    "localhost, localhost",
    "localhost evil.example",
    "localhost/evil",
    "localhost#",
    "localhost?",
    "localhost\\",
    "localhost..",
    ".localhost",
    "localhost:",
    "localhost:0",
    "localhost:65536",
    "localhost:999999",
    "localhost:-1",
    "localhost:8o8o",
    "localhost:８０",
    "localhost:80:80",
    "http://localhost",
    "127.1",
    "127.0.0.2",
    "0x7f.0.0.1",
    "2130706433",
    "::1",
    "[::1",
    "::1]",
    "[::1%25lo]",
    "[::1%lo]:80",
    "[]",
    "[localhost]",
    "[127.0.0.1]",
    "[::1]evil",
    "[::2]",
    "[::ffff:127.0.0.1]",
    "loc\u00e4lhost",
    "localhost\x00",
    "localhost\n",
    "a" * 5000,
]


def send_request(client: FlaskClient, host: str | None, path: str = "/api/contacts", **more: Any) -> Any:
    return client.get(path, environ_overrides={"HTTP_HOST": host, **more})


@pytest.mark.parametrize("host", OURS)
def test_served_hosts_are_answered_in_every_spelling(client: FlaskClient, host: str) -> None:
    assert send_request(client, host).status_code == 401


@pytest.mark.parametrize("host", OTHERS)
def test_every_other_host_gets_421_even_with_the_right_key(alice: Producer, host: str | None) -> None:
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {alice.secret}"}
    assert send_request(alice.client, "localhost", **bearer).status_code == 200
    response = send_request(alice.client, host, **bearer)
    assert (response.status_code, response.mimetype) == (421, "application/problem+json")
    assert response.json["status"] == 421


@pytest.mark.parametrize(
    ("path", "method"),
    [("/", "GET"), ("/sign-in", "GET"), ("/static/beckon.css", "GET"), ("/nothing", "GET"), ("/metrics", "GET"),
     ("/automations", "POST"), ("/api/triggers", "OPTIONS"), ("//automations", "GET"),
     ("/api/webhooks/mailgun", "POST"), ("/healthz/", "GET"), ("/readyz/x", "GET")],
)  # fmt: skip
def test_no_path_is_answered_for_another_host(client: FlaskClient, path: str, method: str) -> None:
    response = client.open(path, method=method, headers={"Host": "evil.example", "Accept": "text/html"})
    assert response.status_code == 421
    assert "Location" not in response.headers
    assert "Set-Cookie" not in response.headers
    assert "evil.example" not in response.text


def test_a_browser_gets_an_error_page(client: FlaskClient) -> None:
    response = client.get("/automations", headers={"Host": "evil.example", "Accept": "text/html"})
    assert (response.status_code, response.mimetype) == (421, "text/html")
    assert "BECKON_ALLOWED_HOSTS" in response.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_answer_for_any_host(client: FlaskClient, path: str) -> None:
    for host in ("10.1.2.3:8080", "evil.example", None, "[::1"):
        assert send_request(client, host, path).status_code == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/api/contacts", 401),
        ("HTTP://LOCALHOST:8080/api/contacts", 401),
        ("http://evil.example/api/contacts", 421),
        ("http://localhost@evil.example/api/contacts", 421),
        ("http://evil.example@localhost/api/contacts", 421),
        ("http:///api/contacts", 421),
        ("http:/api/contacts", 421),
        ("ftp://localhost/api/contacts", 421),
        ("http://[::1/api/contacts", 421),
        ("localhost:80", 421),
    ],
)
def test_an_absolute_request_target_must_name_a_served_host(client: FlaskClient, target: str, status: int) -> None:
    assert send_request(client, "localhost", RAW_URI=target).status_code == status
    assert send_request(client, "evil.example", RAW_URI=target).status_code == 421


class TestBehindAProxy:
    """The forwarded host is checked."""

    @pytest.fixture
    def config(self, config: Settings) -> Settings:
        return config.replace(trusted_proxies=(ipaddress.ip_network(PROXY),), allowed_hosts=("beckon.example",))

    @pytest.mark.parametrize(
        ("peer", "host", "forwarded", "status"),
        [
            (PROXY, "inner:8080", "beckon.example", 401),
            (PROXY, "beckon.example", "evil.example", 421),
            (PROXY, "beckon.example", "evil.example, beckon.example", 401),
            (PROXY, "beckon.example", "beckon.example, evil.example", 421),
            (PROXY, "beckon.example", "beckon.example@evil.example", 421),
            (PROXY, "beckon.example", "[", 421),
            (PROXY, "beckon.example", None, 401),
            (PROXY, "inner:8080", None, 421),
            ("192.0.2.1", "evil.example", "beckon.example", 421),
            ("192.0.2.1", "beckon.example", "evil.example", 401),
        ],
    )
    def test_the_forwarded_host_of_a_trusted_proxy_is_checked(
        self, client: FlaskClient, peer: str, host: str, forwarded: str | None, status: int
    ) -> None:
        more = {} if forwarded is None else {"HTTP_X_FORWARDED_HOST": forwarded}
        assert send_request(client, host, REMOTE_ADDR=peer, **more).status_code == status

    def test_a_form_must_come_from_the_forwarded_host(self, client: FlaskClient) -> None:
        for origin, text in (
            ("https://beckon.example", "has expired"),
            ("https://inner:8080", "another site"),
            ("https://evil.example", "another site"),
            ("http://[", "another site"),
            ("null", "another site"),
        ):
            headers = {"Origin": origin, "X-Forwarded-Host": "beckon.example", "Host": "inner:8080"}
            response = client.post("/sign-in", headers=headers, environ_overrides={"REMOTE_ADDR": PROXY})
            assert response.status_code == 403
            assert text in response.text, origin

    def test_a_host_forwarded_by_an_untrusted_peer_is_ignored(self, client: FlaskClient) -> None:
        headers = {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example", "Host": "beckon.example"}
        response = client.post("/sign-in", headers=headers, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
        assert "another site" in response.text


def load(**variables: str) -> Settings:
    return settings.load({"BECKON_ENV_FILE": "/nowhere", **variables})


def test_by_default_the_hosts_of_the_url_and_of_this_machine_are_served() -> None:
    default = {"localhost", "127.0.0.1", "[::1]"}
    assert load().served_hosts == default
    assert load(BECKON_URL="https://Beckon.Example.:8443/x").served_hosts == default | {"beckon.example"}
    assert load(BECKON_URL="https://[2001:DB8::0]").served_hosts == default | {"[2001:db8::]"}
    assert load(BECKON_HOST="192.0.2.7").served_hosts == default | {"192.0.2.7"}
    assert load(BECKON_HOST="fe80::1").served_hosts == default | {"[fe80::1]"}
    assert load(BECKON_HOST="0.0.0.0").served_hosts == default | {"0.0.0.0"}


def test_allowed_hosts_replace_the_defaults_but_not_the_url_and_internal_names() -> None:
    config = load(BECKON_ALLOWED_HOSTS="A.example, ::1 ,b.example.", BECKON_URL="https://beckon.example")
    assert config.served_hosts == {"a.example", "b.example", "[::1]", "beckon.example", "127.0.0.1"}


@pytest.mark.parametrize(
    "value", ["*", "http://a.example", "a.example:80", "a..b", "-", "a/b", "bücher.example", "[::1"]
)
def test_an_invalid_host_is_rejected_by_name(value: str) -> None:
    with pytest.raises(settings.SettingsError, match="BECKON_ALLOWED_HOSTS"):
        load(BECKON_ALLOWED_HOSTS=value)


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.1/8", "2", "10.0.0.0/33", "*"])
def test_an_invalid_proxy_network_is_rejected_by_name(value: str) -> None:
    with pytest.raises(settings.SettingsError, match="BECKON_TRUSTED_PROXIES"):
        load(BECKON_TRUSTED_PROXIES=value)
