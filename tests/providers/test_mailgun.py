"""Mailgun: the class of each error, the reconciliation of a lost response, and its callbacks."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers import mailgun, responses
from providers.base import Account, OutgoingMessage
from providers.registry import build_sandbox_account
from rules.errors import ConfigurationError, ExecutionError, InvalidRequest, NetworkError, RateLimited, UnknownOutcome
from sandbox.server import RunningSandbox

ACCOUNT = Account("mailgun", "https://api.mailgun.net", {"MAILGUN_API_KEY": "key-123456", "MAILGUN_DOMAIN": "ex.com"})
KEY = "test-signing-key-not-a-secret"
EMAIL = OutgoingMessage(key="exec-1/hello/0", to="ada@example.com", body="Hello", subject="Hi")


def classify(status: int, message: str) -> ExecutionError:
    body = json.dumps({"message": message}).encode()
    return mailgun.classify_error(ACCOUNT, responses.Response(status, {}, body), effect=True)


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "to parameter is not a valid address. please check documentation", InvalidRequest),
        (400, "from parameter is missing", InvalidRequest),
        (400, "Need at least one of 'text' or 'html' parameters specified", InvalidRequest),
        (400, "'recipient-variables' parameter is not a valid JSON", InvalidRequest),
        (400, "Too many recipients, max is 1000", InvalidRequest),
        (400, "Domain ex.com is not allowed to send: The domain is unverified", ConfigurationError),
        (400, "Sandbox subdomains are for test purposes only. Please add your own domain", ConfigurationError),
        (400, "Free accounts are for test purposes only.", ConfigurationError),
        (400, "Please activate your Mailgun account.", ConfigurationError),
        (402, "Request failed", ConfigurationError),
        (403, "Domain ex.com is not allowed to send large batches yet", ConfigurationError),
        (403, "Rejected: IP 1.2.3.4 can't be used to send the message", ConfigurationError),
        (404, "Domain not found: ex.com", ConfigurationError),
        (413, "request size exceeds 52.4MiB", InvalidRequest),
        (429, "slow down", RateLimited),
        (500, "Internal Server Error", UnknownOutcome),
        (502, "", UnknownOutcome),
        (503, "", UnknownOutcome),
        (504, "", UnknownOutcome),
    ],
)
def test_every_error_has_its_class(status: int, message: str, expected: type[ExecutionError]) -> None:
    error = classify(status, message)

    assert type(error) is expected
    assert error.provider_code == str(status)


def test_a_rejected_key_is_plain_text_and_names_key_and_region() -> None:
    error = mailgun.classify_error(ACCOUNT, responses.Response(401, {}, b"Forbidden"), effect=True)

    assert isinstance(error, ConfigurationError)
    assert "the API key of Mailgun" in error.message
    assert "region" in error.message


def test_an_unknown_domain_is_retried_after_a_minute() -> None:
    assert classify(404, "Domain not found: ex.com").retry_after == 60


def test_a_rate_limit_has_its_wait_in_seconds_or_as_a_date() -> None:
    until = datetime.now(UTC) + timedelta(minutes=10)
    message = f"Domain ex.com is not allowed to send: limit exceeded, try again after {until:%a, %d %b %Y %H:%M:%S} UTC"

    assert classify(429, "account-requests-per-sec limit exceeded, try again after 120 seconds").retry_after == 120
    assert classify(429, message).retry_after == pytest.approx(600, abs=5)
    assert classify(429, "limit exceeded").retry_after is None


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30), ("{:%a, %d %b %Y %H:%M:%S} GMT", 600), ("{:%a %b %d %H:%M:%S %Y}", 600),
                            ("604800", 86_400), ("soon", 120)],
)  # fmt: skip
def test_a_rate_limits_header_wins_over_its_text_and_is_at_most_a_day(header: str, seconds: float) -> None:
    headers = {"Retry-After": header.format(datetime.now(UTC) + timedelta(minutes=10))}
    body = json.dumps({"message": "limit exceeded, try again after 120 seconds"}).encode()
    error = mailgun.classify_error(ACCOUNT, responses.Response(429, headers, body), effect=True)
    assert error.retry_after == pytest.approx(seconds, abs=5)


def test_the_samples_of_errors_are_classified(sample: Callable[[str], Any]) -> None:
    bad_to = json.dumps(sample("mailgun/send_400_bad_to.json")).encode()
    limited = json.dumps(sample("mailgun/send_429.json")).encode()

    assert isinstance(mailgun.classify_error(ACCOUNT, responses.Response(400, {}, bad_to), effect=True), InvalidRequest)
    assert mailgun.classify_error(ACCOUNT, responses.Response(429, {}, limited), effect=True).retry_after == 0


def test_an_accepted_message_without_a_response_is_found_by_our_key(sandbox: RunningSandbox) -> None:
    account, began = build_sandbox_account("mailgun", sandbox.url), datetime.now(UTC)
    sandbox.add_fault("mailgun", "reset_after")
    with pytest.raises(UnknownOutcome):
        mailgun.PROVIDER.send(account, EMAIL)

    receipt = mailgun.PROVIDER.find_receipt(account, EMAIL.key, began)

    assert receipt is not None
    assert receipt.provider_message_id == sandbox.list_messages("mailgun")[0]["id"].strip("<>")


def test_among_thousands_of_messages_it_is_found_by_its_recipient(sandbox: RunningSandbox) -> None:
    account, began = build_sandbox_account("mailgun", sandbox.url), datetime.now(UTC)
    mailgun.PROVIDER.send(account, EMAIL)
    (message,) = sandbox.sandbox.store.messages
    others = [replace(message, to="somebody@else.example", key=None, body={}) for _ in range(300 * mailgun.MAX_PAGES)]
    sandbox.sandbox.store.messages.extendleft(others)

    assert mailgun.PROVIDER.find_receipt(account, EMAIL.key, began, EMAIL.to) is not None


def test_a_message_that_never_arrived_is_not_found(sandbox: RunningSandbox) -> None:
    account, began = build_sandbox_account("mailgun", sandbox.url), datetime.now(UTC)
    mailgun.PROVIDER.send(account, EMAIL)

    assert mailgun.PROVIDER.find_receipt(account, "exec-2/hello/0", began) is None


def test_find_receipt_reads_the_next_pages(sandbox: RunningSandbox) -> None:
    account, began = build_sandbox_account("mailgun", sandbox.url), datetime.now(UTC)
    for n in range(301):
        mailgun.PROVIDER.send(
            account, OutgoingMessage(key=f"exec-{n}", to="ada@example.com", body="Hello", subject="Hi")
        )

    assert mailgun.PROVIDER.find_receipt(account, "exec-300", began) is not None


def test_find_receipt_is_retried_after_temporary_errors(sandbox: RunningSandbox) -> None:
    account, began = build_sandbox_account("mailgun", sandbox.url), datetime.now(UTC)
    mailgun.PROVIDER.send(account, EMAIL)
    for fault in ("http_500", "reset_before"):
        sandbox.add_fault("mailgun", fault, match={"call": "look_up"})

    assert mailgun.PROVIDER.find_receipt(account, EMAIL.key, began) is not None


def test_find_receipt_without_a_response_is_retryable(sandbox: RunningSandbox) -> None:
    sandbox.add_fault("mailgun", "reset_before", times=0, match={"call": "look_up"})

    with pytest.raises(NetworkError):
        mailgun.PROVIDER.find_receipt(build_sandbox_account("mailgun", sandbox.url), EMAIL.key, datetime.now(UTC))


def test_an_email_carries_sender_reply_address_headers_and_html(sandbox: RunningSandbox) -> None:
    email = OutgoingMessage(
        key="exec-1/hello/0",
        to="Ada <ada@example.com>",
        body="<p>Grüße</p>",
        subject="Grüße",
        format="html",
        sender="Bob <bob@example.com>",
        reply_to="team@example.com",
        headers={"X-Team": "blue"},
    )
    mailgun.PROVIDER.send(build_sandbox_account("mailgun", sandbox.url), email)

    body = sandbox.list_messages("mailgun", "ada@example.com")[0]["body"]
    assert body == {
        "from": "Bob <bob@example.com>",
        "to": "Ada <ada@example.com>",
        "subject": "Grüße",
        "text": "Grüße",
        "html": "<p>Grüße</p>",
        "v:beckon_key": "exec-1/hello/0",
        "h:Reply-To": "team@example.com",
        "h:X-Team": "blue",
    }


@pytest.mark.parametrize(
    "more", [{"subject": "a\r\nBcc: eve@example.com"}, {"headers": {"X-A\n": "b"}}, {"format": "mjml"}]
)
def test_a_field_that_could_forge_a_header_and_an_unknown_format_are_invalid(
    sandbox: RunningSandbox, more: dict[str, Any]
) -> None:
    email = OutgoingMessage(**{"key": "k", "to": "ada@example.com", "body": "Hello", "subject": "Hi", **more})

    with pytest.raises(InvalidRequest):
        mailgun.PROVIDER.send(build_sandbox_account("mailgun", sandbox.url), email)
    assert sandbox.list_messages() == []


WEBHOOKS = (
    ("delivered", "delivered", False),
    ("opened", "opened", False),
    ("clicked", "clicked", False),
    ("unsubscribed", "unsubscribed", False),
    ("complained", "complained", False),
    ("accepted", "sent", False),
    ("failed_permanent", "bounced", True),
    ("failed_permanent_delayed_bounce", "bounced", True),
    ("failed_temporary", "delayed", False),
)


@pytest.mark.parametrize(("name", "kind", "permanent"), WEBHOOKS)
def test_a_webhook_is_verified_and_parsed(sample: Callable[[str], Any], name: str, kind: str, permanent: bool) -> None:
    body = sample(f"mailgun/webhook_{name}.json")
    event = body["event-data"]
    signed_at = datetime.fromtimestamp(int(body["signature"]["timestamp"]), UTC)

    assert mailgun.verify(body, [KEY], signed_at)
    callback = mailgun.read_event(body)

    assert callback is not None
    assert (callback.kind, callback.permanent) == (kind, permanent)
    assert callback.event_id == event["id"]
    assert callback.provider_message_id == event["message"]["headers"]["message-id"]
    assert callback.address == event["recipient"]
    assert callback.occurred_at.timestamp() == pytest.approx(event["timestamp"])


def test_a_stored_message_is_ignored(sample: Callable[[str], Any]) -> None:
    assert mailgun.read_event(sample("mailgun/webhook_stored.json")) is None


def test_a_suppression_by_mailgun_is_a_failure_with_its_reason() -> None:
    event = {"id": "1", "event": "failed", "severity": "permanent", "reason": "suppress-unsubscribe", "timestamp": 1.0}

    callback = mailgun.read_event({"event-data": event})

    assert callback is not None
    assert (callback.kind, callback.permanent) == ("failed", True)
    assert callback.detail["reason"] == "suppress-unsubscribe"


def test_an_event_contains_our_key() -> None:
    event = {"id": "1", "event": "delivered", "timestamp": 1.0, "user-variables": {"beckon_key": "exec-1/hello/0"}}

    callback = mailgun.read_event({"event-data": event})

    assert callback is not None
    assert callback.message_key == "exec-1/hello/0"


@pytest.mark.parametrize("body", [{}, {"event-data": 1}, {"event-data": []}, {"event-data": {"event": "delivered"}}])
def test_a_malformed_event_is_ignored(body: dict[str, Any]) -> None:
    assert mailgun.read_event(body) is None
    assert mailgun.verify(body, [KEY], datetime.now(UTC)) is False


def read_signed_webhook(sample: Callable[[str], Any]) -> tuple[dict[str, Any], datetime]:
    body = sample("mailgun/webhook_delivered.json")
    return body, datetime.fromtimestamp(int(body["signature"]["timestamp"]), UTC)


@pytest.mark.parametrize("late", [timedelta(hours=9, seconds=1), -timedelta(minutes=5, seconds=1)])
def test_a_signature_of_another_time_is_rejected(sample: Callable[[str], Any], late: timedelta) -> None:
    body, at = read_signed_webhook(sample)
    assert not mailgun.verify(body, [KEY], at + late)


@pytest.mark.parametrize("late", [timedelta(hours=9), -timedelta(minutes=5), timedelta()])
def test_a_signature_that_mailgun_still_retries_with_is_accepted(sample: Callable[[str], Any], late: timedelta) -> None:
    body, at = read_signed_webhook(sample)
    assert mailgun.verify(body, [KEY], at + late)


NOW = datetime.fromtimestamp(1529006854, UTC)
HEX = "373e0712c83cffe15ff427b60e788b549f82496fe5fd5391f7"


def sign(timestamp: str, token: str) -> dict[str, str]:
    digest = hmac.new(KEY.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": digest}


@pytest.mark.parametrize(
    ("timestamp", "token"),
    [
        ("1529006854", HEX[:-1]), ("1529006854", HEX + "0"), ("1529006854", ""), ("1529006854", HEX[:-1] + "-"),
        ("1529006854", HEX[:-1] + " "), ("1529006854", HEX[:-1] + "\u0661"), ("1529006854", HEX + "\n"),
        ("152900685", "4" + HEX), ("15290068543", HEX[1:]), ("15290068543", HEX), ("1529006854.", HEX),
        ("1529006854.0", HEX), ("+1529006854", HEX), (" 1529006854", HEX), ("1529006854 ", HEX), ("1529006854\n", HEX),
        ("1_529006854", HEX), ("01529006854", HEX), ("0152900685", HEX), ("1529006854e0", HEX), ("0x5b22c7c6", HEX),
        ("\u0661529006854", HEX), ("\uff11529006854", HEX), ("-152900685", HEX),
    ],
)  # fmt: skip
def test_a_signed_time_or_token_of_another_format_is_rejected(timestamp: str, token: str) -> None:
    assert mailgun.verify(sign("1529006854", HEX), [KEY], NOW)
    assert not mailgun.verify(sign(timestamp, token), [KEY], NOW)


def test_digits_cannot_move_between_time_and_token() -> None:
    ours = sign("1529006854", "7" + HEX[1:])
    slid = {**ours, "timestamp": "15290068547", "token": HEX[1:]}
    assert mailgun.verify(ours, [KEY], NOW)
    assert not mailgun.verify(slid, [KEY], datetime.fromtimestamp(15290068547, UTC))


def test_a_signature_is_lower_case_hex() -> None:
    ours = sign("1529006854", HEX)
    for odd in (ours["signature"].upper(), " " + ours["signature"], ours["signature"] + "\n", "\ud800" * 64):
        assert not mailgun.verify({**ours, "signature": odd}, [KEY], NOW)


def test_another_key_is_rejected_and_two_keys_may_be_valid(sample: Callable[[str], Any]) -> None:
    body, at = read_signed_webhook(sample)
    assert not mailgun.verify(body, ["another"], at)
    assert not mailgun.verify(body, [], at)
    assert mailgun.verify(body, ["another", KEY], at)


def test_an_empty_key_verifies_nothing() -> None:
    empty = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
    assert not mailgun.verify({"timestamp": "", "token": "", "signature": empty}, [""], datetime.now(UTC))


@pytest.mark.parametrize("field", ["timestamp", "token", "signature"])
@pytest.mark.parametrize("value", [None, 5, "", "nan", "ä"])
def test_a_malformed_signature_field_is_rejected(sample: Callable[[str], Any], field: str, value: Any) -> None:
    body, at = read_signed_webhook(sample)
    body["signature"][field] = value
    assert not mailgun.verify(body, [KEY], at)


def test_the_token_of_a_signature_is_returned(sample: Callable[[str], Any]) -> None:
    body, _ = read_signed_webhook(sample)
    assert mailgun.read_replay_token(body) == body["signature"]["token"]
    assert mailgun.read_replay_token({"token": "t", "timestamp": "1", "signature": "s"}) == "t"
    assert mailgun.read_replay_token({}) is None


REPLY = {
    "timestamp": "1529006854",
    "token": "t",
    "signature": "s",
    "from": "Ada Byron <Ada@Example.com>",
    "sender": "ada@example.com",
    "recipient": "hello@ex.com",
    "subject": "Re: Hi",
    "body-plain": "Yes please\n> Hi",
    "stripped-text": "Yes please",
    "Message-Id": "<r1@example.com>",
    "In-Reply-To": "<m1@ex.com>",
}


def test_a_reply_by_mail_has_the_id_of_the_message_it_answers() -> None:
    callback = mailgun.read_inbound(REPLY)

    assert callback is not None
    assert (callback.kind, callback.address, callback.text) == ("replied", "ada@example.com", "Yes please")
    assert callback.provider_message_id == "m1@ex.com"
    assert callback.event_id == "<r1@example.com>"


@pytest.mark.parametrize("more", [{"stripped-text": "Stop."}, {"stripped-text": "x", "subject": "UNSUBSCRIBE"}])
def test_a_mail_that_says_stop_unsubscribes(more: dict[str, str]) -> None:
    callback = mailgun.read_inbound({**REPLY, **more})
    assert callback is not None
    assert callback.kind == "unsubscribed"


@pytest.mark.parametrize(
    "more",
    [
        {"from": "", "sender": ""},
        {"timestamp": "soon"},
    ],
)
def test_a_malformed_mail_is_not_a_reply(more: dict[str, str]) -> None:
    assert mailgun.read_inbound({**REPLY, **more}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Auto-Submitted", 'auto-replied; owner-email="a@b.c"'),
        ("auto-submitted", "(a filter) auto-generated"),
        ("X-Auto-Response-Suppress", "DR, OOF, AutoReply"),
        ("Precedence", "bulk"),
        ("Precedence", "Junk"),
        ("Precedence", "auto_reply"),
        ("X-Autoreply", "yes"),
        ("X-Autorespond", "Re: Hi"),
        ("X-Failed-Recipients", "ada@example.com"),
        ("Content-Type", 'multipart/report; report-type=delivery-status; boundary="b"'),
        ("Content-Type", "Multipart/Report;\r\n report-type=disposition-notification"),
        ("Return-Path", "<>"),
        ("X-Envelope-From", "< >"),
    ],
)
def test_mail_that_a_program_wrote_is_not_a_reply(name: str, value: str) -> None:
    # RFC 3834, and the headers of programs that do not follow it.
    assert mailgun.read_inbound({**REPLY, name: value}) is None
    assert mailgun.read_inbound({**REPLY, "message-headers": json.dumps([["Subject", "Hi"], [name, value]])}) is None


@pytest.mark.parametrize(
    "sender",
    [
        {"from": "Mail Delivery System <MAILER-DAEMON@example.com>"},
        {"from": "MAILER-DAEMON (Mail Delivery System)"},
        {"from": "postmaster@example.com"},
        {"sender": ""},
        {"sender": "<>"},
    ],
)
def test_a_bounce_is_not_a_reply_whatever_its_headers_say(sender: dict[str, str]) -> None:
    assert mailgun.read_inbound({**REPLY, **sender}) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Auto-Submitted", "no (by hand)"),
        ("Auto-Submitted", "no; x=y"),
        ("X-Auto-Response-Suppress", "None"),
        ("X-Autoreply", "no"),
        ("Precedence", "list"),
        ("Precedence", "first-class"),
        ("Content-Type", 'multipart/alternative; boundary="multipart/report"'),
        ("Return-Path", "<ada@example.com>"),
        ("X-Envelope-From", "<ada@example.com>"),
        ("List-Id", "<friends.example.com>"),
    ],
)
def test_mail_of_a_person_is_a_reply_whatever_their_program_adds(name: str, value: str) -> None:
    assert mailgun.read_inbound({**REPLY, "message-headers": json.dumps([[name, value]])}) is not None


@pytest.mark.parametrize("headers", ["", "[", "5", '[["a"]]', '{"a": 1}', "[1]", "null", '[["Precedence", null]]'])
def test_invalid_headers_do_not_lose_a_reply(headers: str) -> None:
    assert mailgun.read_inbound({**REPLY, "message-headers": headers}) is not None
