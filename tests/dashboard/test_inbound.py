"""Providers' webhooks: an event with a valid signature is stored once, an invalid one is not stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import time
from typing import Any
from urllib.parse import urlencode

import flask
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import clock
import settings
from models import database
from tests.dashboard.producers import Producer
from tests.support import servers as real
from tests.support.concurrency import run_concurrently
from tests.support.rows import fetch_rows

TELNYX_KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def config() -> settings.Settings:
    public = TELNYX_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return settings.load().replace(telnyx_public_key=base64.b64encode(public).decode())


def fetch_events() -> list[dict[str, Any]]:
    """The stored events, read with the service role, because the dashboard role can only write them."""
    config = settings.load()
    database.db.close_all()
    database.open_pool(config.database_service_url, "beckon_service", 8)
    with database.transaction():
        return fetch_rows("select provider, event_id, workspace_id, body from inbound_events order by id")


def signature(token: str = "a1" * 25, age: float = 0, key: str | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() - age))
    secret = key or settings.load().mailgun_webhook_signing_key
    signed = hmac.new(secret.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": signed}


def build_delivered_event(event_id: str = "e-1", **signed: Any) -> dict[str, Any]:
    return {
        "signature": signature(**signed),
        "event-data": {
            "event": "delivered", "id": event_id, "timestamp": time.time(), "recipient": "ada@example.com",
            "message": {"headers": {"message-id": "1@x"}}, "user-variables": {},
        },
    }  # fmt: skip


def post_to_telnyx(client: FlaskClient, body: Any, path: str = "", age: float = 0) -> TestResponse:
    raw = json.dumps(body).encode()
    timestamp = str(int(time.time() - age))
    signed = base64.b64encode(TELNYX_KEY.sign(timestamp.encode() + b"|" + raw)).decode()
    headers = {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": signed}
    return client.post(f"/api/webhooks/telnyx{path}", data=raw, headers=headers, content_type="application/json")


def build_received_message(event_id: str = "t-1", text: str = "STOP") -> dict[str, Any]:
    return {
        "data": {
            "id": event_id, "event_type": "message.received", "occurred_at": "2026-11-20T10:00:00.000Z",
            "payload": {
                "id": "m", "text": text, "from": {"phone_number": "+15550100"}, "to": [{"phone_number": "+1555"}],
            },
        }
    }  # fmt: skip


def test_a_signed_event_of_mailgun_is_stored_once(client: FlaskClient) -> None:
    event = build_delivered_event()
    assert [client.post("/api/webhooks/mailgun", json=event).status_code for _ in range(3)] == [200] * 3
    assert [(row["provider"], row["event_id"]) for row in fetch_events()] == [("mailgun", "e-1")]


@pytest.mark.parametrize("signed", [{"key": "another key"}, {"age": 100_000}], ids=["wrong key", "too old"])
def test_an_invalid_signature_is_403_and_stores_nothing(client: FlaskClient, signed: dict[str, Any]) -> None:
    assert client.post("/api/webhooks/mailgun", json=build_delivered_event(**signed)).status_code == 403
    form = {"from": "ada@example.com", "Message-Id": "<1@x>", "body-plain": "hi", **signature(**signed)}
    assert client.post("/api/webhooks/mailgun/inbound", data=form).status_code == 403
    assert client.post("/api/webhooks/mailgun", json={}).status_code == 403
    assert client.post("/api/webhooks/telnyx", json=build_received_message()).status_code == 403
    assert fetch_events() == []


def test_a_captured_signature_is_rejected_for_another_event(client: FlaskClient) -> None:
    assert client.post("/api/webhooks/mailgun", json=build_delivered_event("e-1")).status_code == 200
    assert client.post("/api/webhooks/mailgun", json=build_delivered_event("e-2")).status_code == 403


def build_mail(**signed: Any) -> dict[str, str]:
    return {"from": "ada@example.com", "Message-Id": "<1@x>", "body-plain": "hi", **signature(**signed)}


EVENTS, MAIL = "/api/webhooks/mailgun", "/api/webhooks/mailgun/inbound"


def test_a_repeated_body_is_200_without_effect_and_another_body_is_403(client: FlaskClient) -> None:
    raw = json.dumps(build_delivered_event("e-1")).encode()
    statuses = [client.post(EVENTS, data=raw, content_type="application/json").status_code for _ in range(3)]
    assert statuses == [200, 200, 200]
    for other in (raw + b" ", raw.replace(b"e-1", b"e-2"), raw.replace(b"delivered", b"complained")):
        assert client.post(EVENTS, data=other).status_code == 403
    assert [row["event_id"] for row in fetch_events()] == ["e-1"]


def test_a_signature_of_one_webhook_is_rejected_by_another(alice: Producer, charlie: Producer) -> None:
    signed = signature()
    event, form = {**build_delivered_event(), "signature": signed}, {**build_mail(), **signed}
    assert alice.client.post(EVENTS, json=event).status_code == 200
    assert alice.client.post(MAIL, data=form).status_code == 403
    own = signature("b2" * 25)
    assert alice.client.post(f"{MAIL}/{alice.workspace_id}", data={**form, **own}).status_code == 200
    for path in (MAIL, f"{MAIL}/{charlie.workspace_id}"):
        assert alice.client.post(path, data={**form, **own}).status_code == 403
    for path in (EVENTS, f"{EVENTS}/{alice.workspace_id}"):
        assert alice.client.post(path, json={**event, "signature": own}).status_code == 403
    assert len(fetch_events()) == 2


def test_a_webhook_accepts_only_the_format_that_mailgun_uses_there(client: FlaskClient) -> None:
    flat = {**build_delivered_event(), **signature()}
    assert client.post(EVENTS, json=flat).status_code == 403
    assert client.post(EVENTS, data=build_mail()).status_code == 400
    assert client.post(MAIL, json={**build_mail(), "signature": signature()}).status_code == 403
    assert client.post(MAIL, json=build_mail()).status_code == 403
    assert fetch_events() == []


@pytest.mark.parametrize("name", ["timestamp", "token", "signature"])
def test_a_repeated_signed_field_is_rejected(client: FlaskClient, name: str) -> None:
    form = build_mail()
    twice = [*form.items(), (name, form[name])]
    assert client.post(MAIL, data=urlencode(twice), content_type=FORM).status_code == 403
    raw = json.dumps(build_delivered_event())
    doubled = raw.replace(f'"{name}": ', f'"{name}": "x", "{name}": ', 1)
    assert client.post(EVENTS, data=doubled).status_code in (400, 403)
    assert fetch_events() == []


def test_a_multipart_retry_with_another_boundary_is_the_same_body(client: FlaskClient) -> None:
    form = build_mail()
    for boundary in ("first", "second"):
        kind = f"multipart/form-data; boundary={boundary}"
        assert client.post(MAIL, data=encode_parts(form, boundary), content_type=kind).status_code == 200
    for other in ({**form, "body-plain": "no"}, {**form, "more": "x"}):
        kind = "multipart/form-data; boundary=third"
        assert client.post(MAIL, data=encode_parts(other, "third"), content_type=kind).status_code == 403
    with_file = {**form, "attachment-1": (io.BytesIO(b"a file"), "a.txt")}
    assert client.post(MAIL, data=with_file, content_type="multipart/form-data").status_code == 403
    assert len(fetch_events()) == 1


FORM = "application/x-www-form-urlencoded"


def encode_parts(form: dict[str, str], boundary: str) -> bytes:
    lines = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
             for name, text in form.items()]  # fmt: skip
    return "".join([*lines, f"--{boundary}--\r\n"]).encode()


def test_ignored_events_and_unknown_workspaces_consume_the_token_too(client: FlaskClient) -> None:
    unknown = {**build_delivered_event(), "event-data": {"event": "list_member_uploaded"}}
    assert client.post(EVENTS, json=unknown).status_code == 200
    assert client.post(EVENTS, json={**build_delivered_event(), "signature": unknown["signature"]}).status_code == 403
    elsewhere = f"{MAIL}/01a00000-0000-7000-8000-000000000000"
    form = build_mail(token="c3" * 25)
    assert [client.post(elsewhere, data=form).status_code for _ in range(2)] == [404, 404]
    assert client.post(MAIL, data=form).status_code == 403
    assert fetch_events() == []


def test_a_token_and_its_event_are_stored_together_or_not_at_all(client: FlaskClient, database_urls: Any) -> None:
    real.run_sql(database_urls.owner, "revoke insert on inbound_events from beckon_service")
    try:
        assert client.post(EVENTS, json=(event := build_delivered_event())).status_code == 500
    finally:
        real.run_sql(database_urls.owner, "grant insert on inbound_events to beckon_service")
    assert client.post(EVENTS, json=event).status_code == 200
    assert len(fetch_events()) == 1


def test_of_many_concurrent_bodies_with_one_token_one_is_stored(app: flask.Flask) -> None:
    signed = signature()
    bodies = [{**build_delivered_event(f"e-{number}"), "signature": signed} for number in range(6)]
    statuses = run_concurrently(6, lambda number: app.test_client().post(EVENTS, json=bodies[number]).status_code)
    assert sorted(statuses) == [200, *[403] * 5]
    assert len(fetch_events()) == 1


@pytest.mark.parametrize(("age", "status"), [(8.9 * 3600, 200), (9.1 * 3600, 403), (-240, 200), (-360, 403)])
def test_a_signature_is_valid_for_as_long_as_mailgun_retries(client: FlaskClient, age: float, status: int) -> None:
    assert client.post(EVENTS, json=build_delivered_event(age=age)).status_code == status
    assert client.post(MAIL, data=build_mail(token="d4" * 25, age=age)).status_code == status


def test_the_age_of_a_signature_ignores_the_clock_offset(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "OFFSET_SECONDS", 100_000.0)
    assert client.post(EVENTS, json=build_delivered_event()).status_code == 200
    assert client.post(EVENTS, json=build_delivered_event("e-2", token="e5" * 25, age=-100_000)).status_code == 403


def test_an_e_mail_from_a_contact_is_stored(client: FlaskClient) -> None:
    form = {"from": "Ada <ada@example.com>", "Message-Id": "<1@x>", "stripped-text": "Yes\x00!", **signature()}
    response = client.post("/api/webhooks/mailgun/inbound", data=form, content_type="multipart/form-data")
    assert response.status_code == 200
    (row,) = fetch_events()
    assert (row["provider"], row["body"]["stripped-text"]) == ("mailgun_inbound", "Yes!")


def test_a_text_message_with_unusual_characters_is_stored(client: FlaskClient) -> None:
    assert post_to_telnyx(client, build_received_message(text="STOP\x00\x0b")).status_code == 200
    assert fetch_events()[0]["body"]["data"]["payload"]["text"] == "STOP\x0b"


def test_a_telnyx_event_is_stored_once_and_an_old_one_is_rejected(client: FlaskClient) -> None:
    assert post_to_telnyx(client, build_received_message(), age=3600).status_code == 403
    assert [post_to_telnyx(client, build_received_message()).status_code for _ in range(2)] == [200, 200]
    assert len(fetch_events()) == 1


def test_the_message_key_in_a_telnyx_url_is_stored_with_its_event(client: FlaskClient) -> None:
    forged = {**build_received_message("t-2"), "beckon_key": "forged"}
    for body, path in ((build_received_message(), "?key=exec%3Asms%3A0"), (forged, "")):
        assert post_to_telnyx(client, body, path).status_code == 200
    assert {row["event_id"]: row["body"]["beckon_key"] for row in fetch_events()} == {"t-1": "exec:sms:0", "t-2": None}


def test_a_workspaces_own_webhook_stores_its_id(alice: Producer) -> None:
    assert post_to_telnyx(alice.client, build_received_message(), f"/{alice.workspace_id}").status_code == 200
    assert (
        post_to_telnyx(alice.client, build_received_message("t-2"), "/01a00000-0000-7000-8000-000000000000").status_code
        == 404
    )
    assert post_to_telnyx(alice.client, build_received_message("t-3"), "/nonsense").status_code == 404
    assert [str(row["workspace_id"]) for row in fetch_events()] == [alice.workspace_id]


def test_a_signed_unknown_event_is_200_and_not_stored(client: FlaskClient) -> None:
    assert post_to_telnyx(client, {"data": {"event_type": "call.initiated"}}).status_code == 200
    assert post_to_telnyx(client, []).status_code == 200
    assert fetch_events() == []


def test_invalid_json_is_400_and_a_body_that_is_too_large_413(client: FlaskClient) -> None:
    assert client.post("/api/webhooks/mailgun", data=b"{").status_code == 400
    assert client.post("/api/webhooks/mailgun", data=b"[]").status_code == 400
    assert client.post("/api/webhooks/mailgun", data=b"x" * (5 * 1024 * 1024 + 1)).status_code == 413


ALICES_KEY = "the signing key of alice's Mailgun account"


def enter_own_secrets(alice: Producer) -> Ed25519PrivateKey:
    """Enter webhook secrets of Alice's own accounts; return her Telnyx account's private key."""
    own_key = Ed25519PrivateKey.generate()
    public = base64.b64encode(own_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    for provider, values in (
        ("mailgun", {"MAILGUN_WEBHOOK_SIGNING_KEY": ALICES_KEY.replace(" ", "-")}),
        ("telnyx", {"TELNYX_PUBLIC_KEY": public}),
    ):
        assert alice.put(f"/api/settings/channels/{provider}", {"settings": values}).status_code == 200
    return own_key


def test_a_workspaces_own_mailgun_key_verifies_on_its_own_path_alone(alice: Producer, charlie: Producer) -> None:
    enter_own_secrets(alice)
    own = ALICES_KEY.replace(" ", "-")
    tokens = iter(f"{number:02x}" * 25 for number in range(20))

    def post_event(path: str, key: str | None) -> int:
        event = build_delivered_event(next(tokens), key=key, token=next(tokens))
        return alice.client.post(f"{EVENTS}{path}", json=event).status_code

    def post_mail(path: str, key: str | None) -> int:
        return alice.client.post(f"{MAIL}{path}", data=build_mail(key=key, token=next(tokens))).status_code

    alices, charlies = f"/{alice.workspace_id}", f"/{charlie.workspace_id}"
    assert [post_event(alices, own), post_mail(alices, own)] == [200, 200]
    # The environment's key signs for the plain path, and for workspaces without a key of their own.
    assert [post_event(alices, None), post_mail(alices, None), post_event(charlies, None)] == [403, 403, 200]
    assert [post_event("", own), post_event(charlies, own), post_event(alices, "another key")] == [403, 403, 403]
    assert {str(row["workspace_id"]) for row in fetch_events()} == {alice.workspace_id, charlie.workspace_id}


def test_a_mail_to_two_workspaces_is_stored_for_each(alice: Producer, charlie: Producer) -> None:
    tokens = iter(f"{number:02x}" * 25 for number in range(20))
    for workspace_id in (alice.workspace_id, charlie.workspace_id, alice.workspace_id):
        form = build_mail(token=next(tokens))
        assert alice.client.post(f"{MAIL}/{workspace_id}", data=form).status_code == 200
    assert [str(row["workspace_id"]) for row in fetch_events()] == [alice.workspace_id, charlie.workspace_id]


def test_a_workspaces_own_telnyx_key_verifies_on_its_own_path_alone(
    alice: Producer, charlie: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_key = enter_own_secrets(alice)
    alices, charlies = f"/{alice.workspace_id}", f"/{charlie.workspace_id}"
    assert post_to_telnyx(alice.client, build_received_message("t-1"), alices).status_code == 403
    assert post_to_telnyx(alice.client, build_received_message("t-2"), charlies).status_code == 200
    monkeypatch.setattr(f"{__name__}.TELNYX_KEY", own_key)
    statuses = [post_to_telnyx(alice.client, build_received_message("t-3"), path).status_code
                for path in (alices, charlies, "")]  # fmt: skip
    assert statuses == [200, 403, 403]
    assert {row["event_id"]: str(row["workspace_id"]) for row in fetch_events()} == {
        f"{charlie.workspace_id}/t-2": charlie.workspace_id, f"{alice.workspace_id}/t-3": alice.workspace_id,
    }  # fmt: skip


@pytest.mark.parametrize("key", ["not base64", "c2hvcnQ=", "é" * 44])
def test_a_public_key_that_is_none_verifies_nothing(alice: Producer, key: str) -> None:
    alice.put("/api/settings/channels/telnyx", {"settings": {"TELNYX_PUBLIC_KEY": key}})
    response = post_to_telnyx(alice.client, build_received_message(), f"/{alice.workspace_id}")
    assert response.status_code == 403


def test_an_unsigned_event_of_too_many_values_is_413_unparsed(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rules.body_json.json", None)
    assert client.post(EVENTS, data=b'{"a":[' + b"{}," * 15_000 + b"{}]}").status_code == 413
