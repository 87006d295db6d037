"""The doors of providers: a right signature is kept once, a wrong one leaves nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import settings
from models import database
from tests.dashboard.cast import Producer

TELNYX_KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def told() -> settings.Settings:
    public = TELNYX_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return replace(settings.load(), telnyx_public_key=base64.b64encode(public).decode())


def kept() -> list[dict[str, Any]]:
    """What stands in the table; read as the service, because the door may only write it."""
    told = settings.load()
    database.db.close_all()
    database.open_pool(told.database_service_url, "beckon_service", 8)
    with database.transaction():
        return database.rows("select provider, event_id, workspace_id, body from inbound_events order by id")


def signature(token: str = "t" * 50, age: float = 0, key: str | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() - age))
    secret = key or settings.load().mailgun_webhook_signing_key
    signed = hmac.new(secret.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": signed}


def delivered(event_id: str = "e-1", **signed: Any) -> dict[str, Any]:
    return {
        "signature": signature(**signed),
        "event-data": {
            "event": "delivered", "id": event_id, "timestamp": time.time(), "recipient": "ada@example.com",
            "message": {"headers": {"message-id": "1@x"}}, "user-variables": {},
        },
    }  # fmt: skip


def telnyx(client: FlaskClient, body: Any, path: str = "", age: float = 0) -> TestResponse:
    raw = json.dumps(body).encode()
    timestamp = str(int(time.time() - age))
    signed = base64.b64encode(TELNYX_KEY.sign(timestamp.encode() + b"|" + raw)).decode()
    headers = {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": signed}
    return client.post(f"/api/webhooks/telnyx{path}", data=raw, headers=headers, content_type="application/json")


def received(event_id: str = "t-1", text: str = "STOP") -> dict[str, Any]:
    return {
        "data": {
            "id": event_id, "event_type": "message.received", "occurred_at": "2026-11-20T10:00:00.000Z",
            "payload": {
                "id": "m", "text": text, "from": {"phone_number": "+15550100"}, "to": [{"phone_number": "+1555"}],
            },
        }
    }  # fmt: skip


def test_a_signed_event_of_mailgun_is_kept_once(client: FlaskClient) -> None:
    event = delivered()
    assert [client.post("/api/webhooks/mailgun", json=event).status_code for _ in range(3)] == [200] * 3
    assert [(one["provider"], one["event_id"]) for one in kept()] == [("mailgun", "e-1")]


@pytest.mark.parametrize("signed", [{"key": "another key"}, {"age": 100_000}], ids=["wrong key", "too old"])
def test_a_bad_signature_is_403_and_leaves_nothing(client: FlaskClient, signed: dict[str, Any]) -> None:
    assert client.post("/api/webhooks/mailgun", json=delivered(**signed)).status_code == 403
    form = {"from": "ada@example.com", "Message-Id": "<1@x>", "body-plain": "hi", **signature(**signed)}
    assert client.post("/api/webhooks/mailgun/inbound", data=form).status_code == 403
    assert client.post("/api/webhooks/mailgun", json={}).status_code == 403
    assert client.post("/api/webhooks/telnyx", json=received()).status_code == 403
    assert kept() == []


def test_a_captured_signature_opens_the_door_for_no_other_event(client: FlaskClient) -> None:
    assert client.post("/api/webhooks/mailgun", json=delivered("e-1")).status_code == 200
    assert client.post("/api/webhooks/mailgun", json=delivered("e-2")).status_code == 403


def test_mail_from_a_contact_is_kept(client: FlaskClient) -> None:
    form = {"from": "Ada <ada@example.com>", "Message-Id": "<1@x>", "stripped-text": "Yes\x00!", **signature()}
    answer = client.post("/api/webhooks/mailgun/inbound", data=form, content_type="multipart/form-data")
    assert answer.status_code == 200
    (one,) = kept()
    assert (one["provider"], one["body"]["stripped-text"]) == ("mailgun_inbound", "Yes!")


def test_a_text_from_a_contact_is_kept_even_with_odd_characters(client: FlaskClient) -> None:
    assert telnyx(client, received(text="STOP\x00\x0b")).status_code == 200
    assert kept()[0]["body"]["data"]["payload"]["text"] == "STOP\x0b"


def test_telnyx_is_heard_once_and_not_when_it_is_old(client: FlaskClient) -> None:
    assert telnyx(client, received(), age=3600).status_code == 403
    assert [telnyx(client, received()).status_code for _ in range(2)] == [200, 200]
    assert len(kept()) == 1


def test_a_workspaces_own_door_names_it(alice: Producer) -> None:
    assert telnyx(alice.client, received(), f"/{alice.workspace_id}").status_code == 200
    assert telnyx(alice.client, received("t-2"), "/01a00000-0000-7000-8000-000000000000").status_code == 404
    assert telnyx(alice.client, received("t-3"), "/nonsense").status_code == 404
    assert [str(one["workspace_id"]) for one in kept()] == [alice.workspace_id]


def test_what_is_signed_and_not_understood_is_answered_and_not_kept(client: FlaskClient) -> None:
    assert telnyx(client, {"data": {"event_type": "call.initiated"}}).status_code == 200
    assert telnyx(client, []).status_code == 200
    assert kept() == []


def test_bodies_that_are_no_json_are_400_and_too_large_ones_413(client: FlaskClient) -> None:
    assert client.post("/api/webhooks/mailgun", data=b"{").status_code == 400
    assert client.post("/api/webhooks/mailgun", data=b"[]").status_code == 400
    assert client.post("/api/webhooks/mailgun", data=b"x" * (5 * 1024 * 1024 + 1)).status_code == 413
