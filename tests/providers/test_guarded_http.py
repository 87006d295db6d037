"""A webhook goes only to a public address, and exactly to the address that was checked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from standardwebhooks.webhooks import Webhook

from providers import guarded_http
from providers.base import Account, OutgoingMessage
from providers.registry import SENDERS
from rules.errors import ConfigurationError, InvalidRequest, NetworkError
from sandbox.server import RunningSandbox
from tests.support.serving import serve

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
LOOPBACK = ("127.0.0.0/8",)
URL = "https://hooks.slack.com/services/T000/B000/hushhush"


class Receiver(HTTPServer):
    """Records the Host of each call, and responds with the next of its statuses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hosts: list[str] = []
        self.statuses: list[int] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.hosts.append(self.headers["Host"])
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def build_account(*networks: str) -> Account:
    return Account("webhook", "", {"WEBHOOK_SIGNING_SECRET": SECRET}, allowed_networks=networks)


def call_webhook(account: Account, url: str, body: str = '{"n": 1}', **more: object) -> None:
    message = OutgoingMessage(key="exec-1/call/0", to=url, body=body, **more)  # type: ignore[arg-type]
    SENDERS["webhook"].send(account, message)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a00:1]",
        "[2002:a00:1::]",
        "[::10.0.0.1]",
        "[64:ff9b:1::a00:1]",
        "[2001:0:a00:1::]",
        "[fec0::1]",
        "192.0.0.192",
        "168.63.129.16",
        "255.255.255.255",
        "2130706433",
        "0x7f.1",
        "127.0.0.1.",
        "LOCALHOST.",
        "127\u30020.0.1",
    ],
)
@pytest.mark.parametrize("port", ["", ":9"])
def test_a_private_address_is_rejected_in_every_spelling(host: str, port: str) -> None:
    with pytest.raises(InvalidRequest):
        call_webhook(build_account(), f"http://{host}{port}/in")


@pytest.mark.parametrize("host", ["[::1]", "127.0.0.1.", "0177.0.0.1", "metadata.google.internal"])
def test_a_literal_address_is_checked_before_any_name_is_resolved(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", fail_to_resolve)

    with pytest.raises(InvalidRequest, match="WEBHOOK_ALLOWED_NETWORKS"):
        call_webhook(build_account(), f"http://{host}/in")


@pytest.mark.parametrize("host", ["[fe80::1%25eth0]", "127.0.0.%31", "256.1.1.1", "1.2.3.4.5", "a\u00adb.example.com"])
def test_an_invalid_host_is_not_a_network_error(host: str) -> None:
    with pytest.raises(InvalidRequest):
        call_webhook(build_account("0.0.0.0/0", "::/0"), f"http://{host}/in")


def test_an_allowed_network_may_be_reached_and_the_body_is_signed(sandbox: RunningSandbox) -> None:
    url = f"{sandbox.url}/_webhook/target"

    call_webhook(build_account(*LOOPBACK), url, headers={"X-Team": "blue"})

    accepted = sandbox.list_messages("webhook", "target")[0]
    assert accepted["body"] == {"n": 1}
    assert accepted["headers"]["webhook-id"] == "exec-1/call/0"
    assert accepted["headers"]["x-team"] == "blue"
    assert Webhook(SECRET).verify('{"n": 1}', accepted["headers"]) == {"n": 1}


def test_a_name_with_one_private_address_among_public_ones_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_resolver(monkeypatch, ["93.184.215.14", "10.0.0.5"])

    with pytest.raises(InvalidRequest, match="private or reserved"):
        call_webhook(build_account(), "https://mixed.example.com/in")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver on this machine that accepts any Host."""
    server = Receiver()
    with serve(server):
        yield server


def test_the_connection_is_made_to_the_address_that_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = patch_resolver(monkeypatch, ["127.0.0.1"])

    call_webhook(build_account(*LOOPBACK), f"http://rebinds.example.com:{receiver.server_port}/in")

    assert names.count("rebinds.example.com") == 1
    assert receiver.hosts == [f"rebinds.example.com:{receiver.server_port}"]


def test_a_name_is_checked_again_on_every_attempt(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    names = patch_resolver(monkeypatch, ["127.0.0.1"])
    receiver.statuses = [429, 200]

    call_webhook(build_account(*LOOPBACK), f"http://again.example.com:{receiver.server_port}/in")

    assert names.count("again.example.com") == 2


def test_a_name_that_does_not_resolve_is_a_network_error(monkeypatch: pytest.MonkeyPatch) -> None:
    patch_resolver(monkeypatch, [])

    with pytest.raises(NetworkError, match="the host name did not resolve"):
        call_webhook(build_account(), "https://nowhere.example.com/in")


@pytest.mark.parametrize("url", ["ftp://example.com/", "file:///etc/passwd", "example.com", "http://", "http://[x/"])
def test_a_url_that_is_not_http_is_invalid(url: str) -> None:
    with pytest.raises(InvalidRequest):
        call_webhook(build_account(), url)


def test_a_password_in_the_url_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="header instead") as error:
        call_webhook(build_account(), "https://ada:hushhush@example.com/")
    assert "hushhush" not in str(error.value)


@pytest.mark.parametrize("name", ["Host", "content-length", "webhook-id", "Transfer-Encoding", "a b", "x\r\ny"])
def test_a_reserved_or_malformed_header_is_rejected(name: str) -> None:
    with pytest.raises(InvalidRequest):
        call_webhook(build_account(), "https://example.com/", headers={name: "1"})


def test_an_invalid_signing_secret_is_a_configuration_error() -> None:
    account = Account("webhook", "", {"WEBHOOK_SIGNING_SECRET": "whsec_"})

    with pytest.raises(ConfigurationError, match="is invalid"):
        call_webhook(account, "https://example.com/")


@pytest.mark.parametrize(("name", "setting"), [("slack", "SLACK_WEBHOOK_URL"), ("discord", "DISCORD_WEBHOOK_URL")])
def test_a_notice_does_not_go_to_a_private_address_either(name: str, setting: str) -> None:
    account = Account(name, "", {setting: "http://127.0.0.1:9/services/hushhush"})

    with pytest.raises(InvalidRequest) as error:
        SENDERS[name].send(account, OutgoingMessage(key="k", to="", body="hello"))
    assert "hushhush" not in str(error.value)


def test_a_sandbox_account_never_reaches_the_real_url(sandbox: RunningSandbox) -> None:
    account = Account("slack", sandbox.url + "/services/T0/B0/sandbox", {"SLACK_WEBHOOK_URL": URL}, sandbox=True)

    SENDERS["slack"].send(account, OutgoingMessage(key="k", to="", body="hello"))

    assert len(sandbox.list_messages("slack")) == 1


def test_public_addresses_are_allowed() -> None:
    assert guarded_http.resolve_allowed_addresses("93.184.215.14", 443, ()) == ["93.184.215.14"]
    assert guarded_http.resolve_allowed_addresses("2606:4700::1111", 443, ()) == ["2606:4700::1111"]
    assert guarded_http.resolve_allowed_addresses("10.0.0.5", 443, (ipaddress.ip_network("10.0.0.0/24"),)) == [
        "10.0.0.5"
    ]


def fail_to_resolve(*_: object, **__: object) -> object:
    raise socket.gaierror(socket.EAI_NONAME, "unknown name")


def patch_resolver(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> list[str]:
    """Resolve every name to these addresses; the returned list records the resolved names."""
    names: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *rest: object, **more: object) -> object:
        if not host.endswith("example.com"):
            return real(host, port, *rest, **more)  # type: ignore[arg-type]
        names.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return names
