"""Telnyx: the class of each error code, and its signed callbacks."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from providers import responses, telnyx, telnyx_callbacks
from providers.base import Account, OutgoingMessage
from providers.registry import build_sandbox_account
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    Expired,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
    UnknownOutcome,
)
from sandbox.server import RunningSandbox

ACCOUNT = Account("telnyx", "https://api.telnyx.com/v2", {"TELNYX_API_KEY": "KEY0123456789"})

SMS = OutgoingMessage(key="exec-1/sms/0", to="+15550100", body="Hello")

MEANINGS: dict[type[ExecutionError], str] = {
    ConfigurationError: "10006 10009 10010 20002 20006 20012 20013 20014 20100 40010 40013 40100 40150 40305 40306 "
    "40308 40311 40312 40313 40314 40315 40321 40329",
    RateLimited: "10011 40011 40016 40018 40318",
    InvalidRequest: "10001 10002 10003 10004 10014 10015 10016 40001 40008 40009 40012 40302 40304 40309 40310 40316 "
    "40317 40328",
    ProviderUnavailable: "40002 40004 40006 40320",
    Blocked: "40003 40015 40017 40322 40300",
    Expired: "40005 40014",
}
ROWS = [(code, error) for error, codes in MEANINGS.items() for code in codes.split()]


def classify(body: Any, status: int = 400, headers: dict[str, str] | None = None) -> ExecutionError:
    return telnyx.classify_error(ACCOUNT, responses.Response(status, headers or {}, json.dumps(body).encode()))


@pytest.mark.parametrize(("code", "expected"), ROWS)
@pytest.mark.parametrize("status", [400, 403, 422])
def test_every_code_has_its_class_whatever_its_status(code: str, expected: type[ExecutionError], status: int) -> None:
    error = classify({"errors": [{"code": code, "title": "No"}]}, status)

    assert type(error) is expected
    assert error.provider_code == code
    assert not error.suppress_channel


def test_no_code_of_the_table_is_untested() -> None:
    assert {code for code, _ in ROWS} == set(telnyx.ERROR_RULES)


def test_a_stop_suppresses_the_contact_on_sms(sample: Callable[[str], Any]) -> None:
    error = classify(sample("telnyx/error_stop.json"))

    assert isinstance(error, Blocked)
    assert error.suppress_channel


def test_the_other_samples_of_errors_are_classified(sample: Callable[[str], Any]) -> None:
    assert isinstance(classify(sample("telnyx/error_from.json")), ConfigurationError)
    assert isinstance(classify(sample("telnyx/error_auth.json"), 401), ConfigurationError)
    limited = classify(sample("telnyx/error_429.json"), 429, {"x-ratelimit-reset": "42"})
    assert isinstance(limited, RateLimited)
    assert limited.retry_after == 42


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, ConfigurationError),
        (403, ConfigurationError),
        (400, InvalidRequest),
        (422, InvalidRequest),
        (404, InvalidRequest),
        (429, RateLimited),
        (500, UnknownOutcome),
    ],
)
@pytest.mark.parametrize("body", [{}, {"errors": 5}, {"errors": []}, {"errors": [7]}, {"errors": [{"code": "99999"}]}])
def test_without_a_known_code_the_status_decides(status: int, expected: type[ExecutionError], body: Any) -> None:
    assert type(classify(body, status)) is expected


def test_an_unexpected_error_after_the_request_is_an_unknown_outcome() -> None:
    assert isinstance(classify({"errors": [{"code": "10007", "title": "Unexpected error"}]}, 500), UnknownOutcome)


def test_an_sms_has_sender_and_profile(sandbox: RunningSandbox) -> None:
    receipt = telnyx.PROVIDER.send(
        build_sandbox_account("telnyx", sandbox.url),
        OutgoingMessage(key="k", to="+15550100", body="Hello", sender="+15550199"),
    )

    assert sandbox.list_messages("telnyx", "+15550100")[0]["body"] == {
        "from": "+15550199",
        "messaging_profile_id": "00000000-0000-4000-8000-000000000000",
        "text": "Hello",
        "to": "+15550100",
        "type": "SMS",
    }
    assert receipt.detail == {"parts": 1, "waitSeconds": 0.0, "cost": "0.0000"}


def test_an_empty_sms_is_invalid_and_a_missing_sender_names_the_setting(sandbox: RunningSandbox) -> None:
    with pytest.raises(InvalidRequest):
        telnyx.PROVIDER.send(
            build_sandbox_account("telnyx", sandbox.url), OutgoingMessage(key="k", to="+15550100", body=" ")
        )
    with pytest.raises(ConfigurationError, match="TELNYX_MESSAGING_PROFILE_ID"):
        telnyx.PROVIDER.send(ACCOUNT, OutgoingMessage(key="k", to="+15550100", body="Hello"))


def test_detail_records_list_what_was_sent_to_a_number_at_its_time(sandbox: RunningSandbox) -> None:
    account, now = build_sandbox_account("telnyx", sandbox.url), datetime.now(UTC)
    receipts = [telnyx.PROVIDER.send(account, replace(SMS, to=to)) for to in ("+15550100", "+15550101")]
    sandbox.add_fault("telnyx", "lookup_second_page")

    listed = telnyx.PROVIDER.list_receipts(account, now, "+15550100")

    assert [receipt.provider_message_id for receipt in listed] == [receipts[0].provider_message_id]
    assert telnyx.PROVIDER.list_receipts(account, now - timedelta(hours=1), "+15550100") == []
    other = replace(account, secrets={**account.secrets, "TELNYX_MESSAGING_PROFILE_ID": "another"})
    assert telnyx.PROVIDER.list_receipts(other, now, "+15550100") == []


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("lookup_auth", ConfigurationError), ("bad_json", ProviderUnavailable), ("http_500", ProviderUnavailable)],
)
def test_a_search_of_detail_records_without_an_answer_raises(
    sandbox: RunningSandbox, fault: str, expected: type[ExecutionError]
) -> None:
    sandbox.add_fault("telnyx", fault, times=0, match={"call": "look_up"})
    with pytest.raises(expected):
        telnyx.PROVIDER.list_receipts(build_sandbox_account("telnyx", sandbox.url), datetime.now(UTC), "+15550100")


def test_each_sms_names_the_url_of_its_reports(sandbox: RunningSandbox) -> None:
    url = "https://beckon.example.com/api/webhooks/telnyx?key=k"
    telnyx.PROVIDER.send(build_sandbox_account("telnyx", sandbox.url), replace(SMS, report_url=url))
    assert sandbox.list_messages("telnyx")[0]["body"]["webhook_url"] == url


def test_the_key_of_a_webhooks_url_is_the_messages(sample: Callable[[str], Any]) -> None:
    body = sample("telnyx/webhook_message_finalized_delivered.json")
    callback = telnyx.read_event(telnyx.add_key({**body, telnyx_callbacks.KEY_FIELD: "forged"}, {"key": "k"}))
    assert callback is not None
    assert (callback.message_key, callback.key_is_unsigned) == ("k", True)


def test_the_official_format_of_a_signature_verifies(sample: Callable[[str], Any]) -> None:
    vector = sample("telnyx/signature_vector.json")
    at = datetime.fromtimestamp(int(vector["telnyx-timestamp"]), UTC)
    headers = {name.title(): vector[name] for name in ("telnyx-timestamp", "telnyx-signature-ed25519")}
    raw, key = vector["body"].encode(), vector["public_key"]

    assert telnyx.verify(headers, raw, key, at)
    assert not telnyx.verify(headers, raw + b" ", key, at)
    assert not telnyx.verify(headers, raw, base64.b64encode(b"\0" * 32).decode(), at)
    assert not telnyx.verify(headers, raw, key, at + timedelta(seconds=301))
    assert not telnyx.verify(headers, raw, key, at - timedelta(seconds=301))


@pytest.mark.parametrize(
    "timestamp",
    ["", "soon", "nan", "inf", "1700000000.0", "+1700000000", " 1700000000", "1_700000000", "01700000000", "17e8",
     "\u0661700000000"],
)  # fmt: skip
def test_a_signed_but_invalid_time_is_rejected(timestamp: str) -> None:
    key = Ed25519PrivateKey.generate()
    headers = {
        "telnyx-timestamp": timestamp,
        "telnyx-signature-ed25519": base64.b64encode(key.sign(timestamp.encode() + b"|{}")).decode(),
    }
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    assert not telnyx.verify(headers, b"{}", public, datetime.fromtimestamp(1_700_000_000, UTC))


def test_a_signature_has_one_encoding() -> None:
    key, at = Ed25519PrivateKey.generate(), datetime.fromtimestamp(1_700_000_000, UTC)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    signature = base64.b64encode(key.sign(b"1700000000|{}")).decode()
    spare_bits = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="
    assert telnyx.verify({"telnyx-timestamp": "1700000000", "telnyx-signature-ed25519": signature}, b"{}", public, at)
    for odd in (spare_bits, signature + "\n", " " + signature, signature.rstrip("="), signature + "AAAA"):
        assert not telnyx.verify({"telnyx-timestamp": "1700000000", "telnyx-signature-ed25519": odd}, b"{}", public, at)


@pytest.mark.parametrize("public_key", ["", "not base64 ä", "AAAA"])
@pytest.mark.parametrize("headers", [{}, {"telnyx-timestamp": "1", "telnyx-signature-ed25519": "?"}])
def test_missing_and_malformed_parts_verify_nothing(headers: dict[str, str], public_key: str) -> None:
    assert not telnyx.verify(headers, b"{}", public_key, datetime.fromtimestamp(1, UTC))


@pytest.mark.parametrize(
    ("name", "kind", "permanent"),
    [
        ("message_sent", "sent", False),
        ("message_finalized_delivered", "delivered", False),
        ("message_finalized_unconfirmed", "sent", False),
        ("message_finalized_failed", "failed", True),
        ("message_received", "replied", False),
    ],
)
def test_a_webhook_is_parsed(sample: Callable[[str], Any], name: str, kind: str, permanent: bool) -> None:
    body = sample(f"telnyx/webhook_{name}.json")

    callback = telnyx.read_event(body)

    assert callback is not None
    assert (callback.kind, callback.permanent) == (kind, permanent)
    assert callback.event_id == body["data"]["id"]
    assert callback.address == "+18665550001"
    if kind != "replied":
        assert callback.provider_message_id == body["data"]["payload"]["id"]


def test_a_number_that_cannot_be_reached_has_bounced(sample: Callable[[str], Any]) -> None:
    body = sample("telnyx/webhook_message_finalized_failed.json")
    body["data"]["payload"]["errors"] = [{"code": "40001", "title": "Not routable"}]

    callback = telnyx.read_event(body)

    assert callback is not None
    assert (callback.kind, callback.text) == ("bounced", "Not routable")


@pytest.mark.parametrize("text", ["STOP", "stop", " Stop! ", "UNSUBSCRIBE", "Cancel", "quit.", "Opt-out", "stop all"])
def test_stop_and_equivalent_words_unsubscribe(sample: Callable[[str], Any], text: str) -> None:
    body = sample("telnyx/webhook_message_received.json")
    body["data"]["payload"]["text"] = text

    callback = telnyx.read_event(body)

    assert callback is not None
    assert callback.kind == "unsubscribed"


@pytest.mark.parametrize("text", ["please stop by tomorrow", "the end is near", "", "I cancel nothing"])
def test_a_sentence_that_contains_such_a_word_is_a_reply(sample: Callable[[str], Any], text: str) -> None:
    body = sample("telnyx/webhook_message_received.json")
    body["data"]["payload"]["text"] = text

    callback = telnyx.read_event(body)

    assert callback is not None
    assert callback.kind == "replied"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": []},
        {"data": {"id": "1", "event_type": "message.sent", "occurred_at": "2019-12-09T21:32:14Z"}},
        {"data": {"id": "1", "event_type": "message.sent", "occurred_at": "soon", "payload": {}}},
        {
            "data": {
                "id": "1",
                "event_type": "message.sent",
                "occurred_at": "2019-12-09T21:32:14Z",
                "payload": {"to": 5},
            }
        },
        {"data": {"id": "1", "event_type": "call.hangup", "occurred_at": "2019-12-09T21:32:14Z", "payload": {}}},
        {"data": {"id": 1, "event_type": [], "occurred_at": None, "payload": None}},
    ],
)
def test_a_malformed_event_is_ignored(body: dict[str, Any]) -> None:
    assert telnyx.read_event(body) is None
