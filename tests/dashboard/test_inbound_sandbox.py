"""Webhooks accept the sandbox's secrets only while it is on, and only from this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask.testing import FlaskClient
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import TestResponse

import settings
from dashboard.inbound import loopback
from models import database
from tests.dashboard.producers import Producer
from tests.dashboard.test_inbound import fetch_events
from tests.dashboard.test_inbound_meta import comment, webhook
from tests.support.rows import fetch_rows

KEY = Ed25519PrivateKey.generate()
SANDBOX_SECRETS = settings.SandboxSecrets(
    mailgun="the sandbox's key of mailgun",
    meta="the sandbox's secret of meta",
    telnyx_seed=base64.b64encode(KEY.private_bytes_raw()).decode(),
    telnyx_public_key=base64.b64encode(KEY.public_key().public_bytes_raw()).decode(),
)
REAL = {"mailgun_webhook_signing_key": "real mailgun", "meta_app_secret": "real meta", "telnyx_public_key": "AA=="}
DOORS = pytest.mark.parametrize("door", ["mailgun", "mailgun/inbound", "telnyx", "instagram", "facebook"])


@pytest.fixture
def config() -> settings.Settings:
    return settings.load().replace(sandbox_secrets=SANDBOX_SECRETS, **REAL)


def send_webhook(
    client: FlaskClient, door: str, path: str = "", secrets: settings.SandboxSecrets = SANDBOX_SECRETS, **environ: Any
) -> int:
    """The status of a webhook that the sandbox signed."""
    now = str(int(time.time()))
    response: TestResponse
    if door.startswith("mailgun"):
        token = hashlib.sha256(f"{door}{path}{time.time_ns()}".encode()).hexdigest()[:50]
        signed = hmac.new(secrets.mailgun.encode(), (now + token).encode(), hashlib.sha256).hexdigest()
        signature = {"timestamp": now, "token": token, "signature": signed}
        form = {"from": "ada@example.com", "Message-Id": f"<{token}>", "body-plain": "hi", **signature}
        event = {"event": "delivered", "id": token, "timestamp": time.time(), "recipient": "ada@example.com"}
        request: dict[str, Any] = {"data": form} if door.endswith("inbound") else {
            "json": {"signature": signature, "event-data": event}
        }  # fmt: skip
    elif door == "telnyx":
        payload = {"id": "m", "text": "hi", "from": {"phone_number": "+15550100"}, "to": [{"phone_number": "+1555"}]}
        event_fields = {"event_type": "message.received", "occurred_at": "2026-11-20T10:00:00.000Z", "payload": payload}
        raw = json.dumps({"data": {"id": str(time.time_ns()), **event_fields}}).encode()
        signed_bytes = KEY.sign(now.encode() + b"|" + raw)
        headers = {"telnyx-timestamp": now, "telnyx-signature-ed25519": base64.b64encode(signed_bytes).decode()}
        request = {"data": raw, "headers": headers}
    else:
        raw = json.dumps(webhook(comment(time.time_ns()))).encode()
        digest = hmac.new(secrets.meta.encode(), raw, hashlib.sha256).hexdigest()
        request = {"data": raw, "headers": {"X-Hub-Signature-256": f"sha256={digest}"}}
    response = client.post(f"/api/webhooks/{door}{path}", environ_overrides=environ, **request)
    return response.status_code


def list_sandbox_flags() -> list[bool]:
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 8)
    with database.transaction():
        return [row["sandbox"] for row in fetch_rows("select sandbox from inbound_events")]


@DOORS
@pytest.mark.parametrize("peer", ["127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"])
def test_sandbox_events_from_loopback_are_accepted_and_marked(client: FlaskClient, door: str, peer: str) -> None:
    assert send_webhook(client, door, REMOTE_ADDR=peer) == 200
    assert list_sandbox_flags() == [True]


@DOORS
@pytest.mark.parametrize("peer", ["10.0.0.7", "203.0.113.9", "", "localhost", "::ffff:10.0.0.7", "fe80::1", "0.0.0.0"])
def test_the_sandboxs_secret_is_rejected_from_other_machines(client: FlaskClient, door: str, peer: str) -> None:
    assert send_webhook(client, door, REMOTE_ADDR=peer) == 403
    assert fetch_events() == []


@DOORS
@pytest.mark.parametrize(
    "header",
    ["X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "X_FORWARDED_PREFIX", "X_FORWARDED", "FORWARDED",
     "VIA", "X_REAL_IP", "CF_CONNECTING_IP", "TRUE_CLIENT_IP"],
)  # fmt: skip
def test_a_forwarded_request_is_not_from_loopback(client: FlaskClient, door: str, header: str) -> None:
    for text in ("127.0.0.1", ""):
        assert send_webhook(client, door, **{f"HTTP_{header}": text}) == 403
    assert fetch_events() == []


def test_behind_proxy_fix_the_socket_peer_decides() -> None:
    seen: dict[str, Any] = {}
    fixed = ProxyFix(lambda environ, _: seen.update(environ) or [])  # type: ignore[func-returns-value,arg-type,return-value]
    fixed({"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, lambda *_: None)
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert loopback.read_socket_peer(seen) == "203.0.113.9"
    assert loopback.read_socket_peer({"REMOTE_ADDR": "127.0.0.1", "werkzeug.proxy_fix.orig": {}}) == ""


class TestBehindAProxyOnThisMachine:
    """The proxy and the sandbox have the same address."""

    @pytest.fixture
    def config(self, config: settings.Settings) -> settings.Settings:
        return config.replace(trusted_proxies=(ipaddress.ip_network("127.0.0.1"),))

    @DOORS
    def test_the_sandbox_is_accepted_and_forwarded_requests_are_not(self, client: FlaskClient, door: str) -> None:
        for header in ("X_FORWARDED_FOR", "X_FORWARDED_PROTO", "VIA"):
            assert send_webhook(client, door, **{f"HTTP_{header}": "127.0.0.1"}) == 403
        assert fetch_events() == []
        assert send_webhook(client, door) == 200
        assert list_sandbox_flags() == [True]


@DOORS
def test_another_secret_is_rejected(client: FlaskClient, door: str) -> None:
    wrong = replace(SANDBOX_SECRETS, mailgun="guessed", meta="guessed")
    if door != "telnyx":
        assert send_webhook(client, door, secrets=wrong) == 403
    assert send_webhook(client, door, secrets=replace(SANDBOX_SECRETS, mailgun="", meta="")) == (
        200 if door == "telnyx" else 403
    )


@pytest.mark.parametrize("door", ["mailgun", "mailgun/inbound", "telnyx"])
def test_a_workspaces_own_webhook_has_the_same_checks(alice: Producer, door: str) -> None:
    path = f"/{alice.workspace_id}"
    assert send_webhook(alice.client, door, path) == 200
    assert send_webhook(alice.client, door, path, REMOTE_ADDR="10.0.0.7") == 403


class TestWhileTheSandboxIsOff:
    @pytest.fixture
    def config(self) -> settings.Settings:
        return settings.load().replace(sandbox="off", sandbox_secrets=SANDBOX_SECRETS)

    @DOORS
    def test_sandbox_signatures_are_rejected(self, client: FlaskClient, door: str) -> None:
        assert send_webhook(client, door) == 403
        assert fetch_events() == []


class TestWithoutAnySecret:
    @pytest.fixture
    def config(self) -> settings.Settings:
        nothing = dict.fromkeys(REAL, "")
        return settings.load().replace(sandbox_secrets=settings.SandboxSecrets(), **nothing)

    @DOORS
    def test_an_empty_secret_is_rejected(self, client: FlaskClient, door: str) -> None:
        assert send_webhook(client, door, secrets=settings.SandboxSecrets()) == 403
        assert fetch_events() == []


class TestWithTheSandboxsSecretsAlone:
    @pytest.fixture
    def config(self) -> settings.Settings:
        return settings.load().replace(sandbox_secrets=SANDBOX_SECRETS, **dict.fromkeys(REAL, ""))

    @DOORS
    def test_sandbox_signatures_from_other_machines_are_rejected(self, client: FlaskClient, door: str) -> None:
        assert send_webhook(client, door) == 200
        assert send_webhook(client, door, REMOTE_ADDR="203.0.113.9") == 403
        assert send_webhook(client, door, HTTP_X_FORWARDED_FOR="203.0.113.9") == 403
