"""Meta's webhooks: the handshake, the signature over the raw bytes, and batches stored event by event, once."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import metrics
import settings
from models import account, database
from tests.dashboard.producers import Producer
from tests.dashboard.test_inbound import fetch_events

DOORS = pytest.mark.parametrize("door", ["instagram", "facebook"])
SECRET = "meta app secret of the tests"
IG = "17841405726653026"


@pytest.fixture(autouse=True)
def account_of_alice(alice: Producer) -> None:
    """Connected accounts: the reader drops events of unknown accounts."""
    account.add(alice.workspace_id, "instagram", IG, "Alice's shop")


def build_headers(raw: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "Content-Type": "application/json"}


def post(client: FlaskClient, body: Any, door: str = "instagram", secret: str = SECRET) -> TestResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/api/webhooks/{door}", data=raw, headers=build_headers(raw, secret))


def comment(number: int, text: str = "PRICE") -> dict[str, Any]:
    value = {"id": f"c-{number}", "from": {"id": f"{number}", "username": "ada"}, "text": text, "media": {"id": "m"}}
    return {"field": "comments", "value": value}


def webhook(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"object": "instagram", "entry": [{"id": IG, "time": int(time.time()), "changes": list(changes)}]}


def count_refused() -> float:
    return float(metrics.triggers_total.labels(source="webhook", result="unauthorized")._value.get())


# The handshake


@DOORS
def test_the_handshake_is_answered_as_plain_text(client: FlaskClient, door: str) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "meta verify token of the tests", "hub.challenge": "1158"}
    response = client.get(f"/api/webhooks/{door}", query_string=query)
    assert (response.status_code, response.mimetype, response.text) == (200, "text/plain", "1158")
    wrong = client.get(f"/api/webhooks/{door}", query_string={**query, "hub.verify_token": "guessed"})
    assert (wrong.status_code, wrong.json["success"]) == (403, False)
    assert client.get(f"/api/webhooks/{door}").status_code == 403


# The signature


@DOORS
def test_a_repeated_signed_webhook_is_stored_once(client: FlaskClient, door: str) -> None:
    assert [post(client, webhook(comment(1)), door).status_code for _ in range(3)] == [200] * 3
    (row,) = fetch_events()
    assert (row["provider"], row["event_id"]) == ("instagram", f"{IG}:comment:c-1")
    assert row["body"]["entry"][0]["changes"] == [comment(1)]


def test_a_forged_webhook_is_only_counted(client: FlaskClient) -> None:
    before = count_refused()
    raw = json.dumps(webhook(comment(1))).encode()
    for headers in (
        {},
        {"X-Hub-Signature-256": "sha256=" + "0" * 64},
        build_headers(raw, "another secret"),
        build_headers(raw + b" "),
        {"X-Hub-Signature": build_headers(raw)["X-Hub-Signature-256"]},
    ):
        response = client.post("/api/webhooks/instagram", data=raw, headers=headers)
        assert (response.status_code, response.mimetype) == (403, "application/problem+json")
    assert fetch_events() == []
    assert count_refused() == before + 5


def test_escaped_characters_are_verified_in_the_raw_body(client: FlaskClient) -> None:
    raw = json.dumps(webhook(comment(1, text="äöå 👍")), ensure_ascii=True).replace(": ", " : ").encode()
    assert post(client, raw).status_code == 200
    assert fetch_events()[0]["body"]["entry"][0]["changes"][0]["value"]["text"] == "äöå 👍"


class TestOfTwoApps:
    """Instagram login signs with the secret of another app."""

    @pytest.fixture
    def config(self) -> settings.Settings:
        return settings.load().replace(meta_app_secret=f"{SECRET}, the other app's")

    def test_each_app_secret_is_accepted(self, client: FlaskClient) -> None:
        assert post(client, webhook(comment(1))).status_code == 200
        assert post(client, webhook(comment(2)), secret="the other app's").status_code == 200
        assert post(client, webhook(comment(3)), secret=f"{SECRET}, the other app's").status_code == 403
        assert len(fetch_events()) == 2


class TestWithoutASecret:
    @pytest.fixture
    def config(self) -> settings.Settings:
        return settings.load().replace(meta_app_secret="", meta_verify_token="")

    def test_every_webhook_is_rejected(self, client: FlaskClient) -> None:
        assert post(client, webhook(comment(1)), secret="").status_code == 403
        query = {"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"}
        assert client.get("/api/webhooks/instagram", query_string=query).status_code == 403


# The events


def test_a_thousand_events_cost_as_many_statements_as_one(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    execute_sql = database.db.execute_sql

    def count_and_execute(sql: str, *more: Any) -> Any:
        statements.append(sql)
        return execute_sql(sql, *more)

    monkeypatch.setattr(database.db, "execute_sql", count_and_execute)
    assert post(client, webhook(comment(0))).status_code == 200
    for_one = len(statements)

    assert post(client, webhook(*(comment(number) for number in range(1, 1001)))).status_code == 200

    assert for_one > 0
    assert len(statements) == 2 * for_one
    assert len({row["event_id"] for row in fetch_events()}) == 1001


def test_a_repeated_event_in_a_body_is_stored_once(client: FlaskClient) -> None:
    assert post(client, webhook(comment(1), comment(1), comment(2))).status_code == 200
    assert len(fetch_events()) == 2


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'"text"', b"5", b"null", b"[" * 100_000])
def test_a_signed_body_that_is_not_json_is_400(client: FlaskClient, raw: bytes) -> None:
    response = post(client, raw)
    assert (response.status_code, response.json["success"]) == (400, False)
    assert fetch_events() == []


def test_a_body_of_more_than_five_mebibytes_is_413(client: FlaskClient) -> None:
    assert post(client, b" " * (5 * 1024 * 1024 + 1)).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        {}, [], {"object": "user", "entry": []}, {"object": "instagram", "entry": [{"id": IG, "changes": 5}]},
        webhook({"field": "mentions", "value": {"media_id": "1"}}),
        {"object": "instagram", "entry": [{"id": IG, "messaging": [{"sender": {"id": "1"}, "referral": {}}]}]},
    ],
)  # fmt: skip
def test_a_signed_irrelevant_event_is_200_and_not_stored(client: FlaskClient, body: Any) -> None:
    assert post(client, body).status_code == 200
    assert fetch_events() == []


def test_characters_and_numbers_that_postgresql_rejects_are_removed(client: FlaskClient) -> None:
    odd = b'{"object":"instagram","entry":[{"id":"1","time":1e999,"changes":[{"field":"comments","value":'
    odd += b'{"id":"c","from":{"id":"2"},"text":"a\\u0000b\\ud800","n":1e999,"m":NaN}}]}]}'
    assert post(client, odd).status_code == 200
    assert fetch_events()[0]["body"]["entry"][0]["changes"][0]["value"]["text"] == "ab?"
