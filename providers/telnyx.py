"""Sends SMS through Telnyx, and verifies and parses its callbacks.

Telnyx neither accepts a key of ours nor finds a message without its own id, so the outcome of a lost response is
unknown until a webhook arrives. Errors are classified by `code`: the HTTP status of one code varies. Pages:
developers.telnyx.com, Messaging, and its list of API errors.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from providers import http_client, responses, retries
from providers.base import Account, Callback, CallbackKind, ErrorRule, OutgoingMessage, Provider, Receipt, asks_to_stop
from providers.untrusted import get_path, get_text, parse_timestamp
from rules.errors import (
    Blocked,
    ConfigurationError,
    ExecutionError,
    Expired,
    InvalidRequest,
    ProviderUnavailable,
    RateLimited,
)
from rules.json_text import dump_json

#: A callback signed longer ago, or further ahead, is rejected. Telnyx documents no value; this one is conventional.
SIGNATURE_AGE = timedelta(seconds=300)
_TIMESTAMP = re.compile(r"[1-9][0-9]{9}")
#: 64 bytes in base64; the last character before the padding has two significant bits, the others are zero.
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{85}[AQgw]==")

_ACCOUNT = ErrorRule(ConfigurationError, "Check TELNYX_API_KEY and the status and balance of the Telnyx account.")
_SENDER = ErrorRule(ConfigurationError, "Check the sending number and the messaging profile in Telnyx.")
_REQUEST = ErrorRule(InvalidRequest, "Correct the phone number (E.164, as in +15550100) or the text of this step.")
_CARRIER = ErrorRule(ProviderUnavailable, "The carrier refused it temporarily; it will be retried later.", 300.0)
_CONTENT = ErrorRule(Blocked, "The carrier treats the text as spam: change it before you send more.")
_EXPIRED = ErrorRule(Expired, "It is too old to be sent; send it again manually if it still matters.")
_STOPPED = ErrorRule(Blocked, "The contact opted out with STOP: no more SMS until they text START.", None, True)
_BLOCKED = ErrorRule(Blocked, "A block rule applies to the two numbers; see the messaging profile in Telnyx.")
_SLOW_DOWN = ErrorRule(RateLimited, "It will be sent when the limit allows.")

#: By code.
ERROR_RULES: dict[str, ErrorRule] = {
    **dict.fromkeys(("10009", "10010", "20002", "20006", "20012", "20013", "20014", "20100"), _ACCOUNT),
    **dict.fromkeys(("10011", "40011"), _SLOW_DOWN),
    **dict.fromkeys(("10001", "10002", "10015", "10016", "40001", "40008", "40009", "40012"), _REQUEST),
    **dict.fromkeys(("40302", "40304", "40309", "40310", "40316", "40317", "40328"), _REQUEST),
    "40300": _BLOCKED,
    **dict.fromkeys(("40002", "40004", "40006", "40320"), _CARRIER),
    **dict.fromkeys(("40003", "40015", "40017", "40322"), _CONTENT),
    **dict.fromkeys(("40005", "40014"), _EXPIRED),
    **dict.fromkeys(("40010", "40013", "40100", "40150", "40305", "40306", "40308"), _SENDER),
    **dict.fromkeys(("40311", "40312", "40313", "40314", "40315", "40321", "40329"), _SENDER),
    "40016": ErrorRule(RateLimited, "The carrier's daily limit is used up; it will be sent on a later day.", 3600.0),
    "40018": ErrorRule(RateLimited, "The carrier's limit per minute is used up.", 60.0),
    "40318": ErrorRule(RateLimited, "More than four hours of messages are queued at Telnyx.", 1800.0),
}
#: Errors of an unusable address.
_BAD_ADDRESS = frozenset({"10001", "10002", "10016", "40001", "40008", "40012", "40310"})


class Telnyx(Provider):
    """Sends SMS."""

    name = "telnyx"
    label = "Telnyx"

    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Send the text; the receipt's detail has the queue time and the number of parts."""
        call = http_client.Call(
            label=self.label,
            method="POST",
            url=f"{account.base_url.rstrip('/')}/messages",
            headers={
                "Authorization": f"Bearer {account.require_secret('TELNYX_API_KEY')}",
                "Content-Type": "application/json",
            },
            body=dump_json(_build_payload(account, outgoing)).encode(),
            connect_seconds=self.connect_seconds,
            read_seconds=self.read_seconds,
            effect=True,
            holds_lease=outgoing.holds_lease,
        )
        return retries.send(lambda: _parse_receipt(account, http_client.send_request(call)))


PROVIDER = Telnyx()


def _build_payload(account: Account, outgoing: OutgoingMessage) -> dict[str, object]:
    if not outgoing.body.strip():
        raise InvalidRequest("an SMS must have a text")
    payload: dict[str, object] = {"to": outgoing.to, "text": outgoing.body, "type": "SMS"}
    if outgoing.sender:
        payload["from"] = outgoing.sender
    profile = account.secrets.get("TELNYX_MESSAGING_PROFILE_ID")
    if profile:
        payload["messaging_profile_id"] = profile
    elif not outgoing.sender:
        account.require_secret("TELNYX_MESSAGING_PROFILE_ID")
    return payload


def _parse_receipt(account: Account, response: responses.Response) -> Receipt:
    if response.status not in (200, 201, 202):
        raise classify_error(account, response)
    message = response.json().get("data")
    message_id = get_text(message, "id")
    if message_id is None:
        raise responses.build_unknown_outcome("Telnyx", f"answered {response.status} without a valid receipt", "200")
    detail = {"parts": get_path(message, "parts"), "waitSeconds": get_path(message, "wait_seconds")}
    detail["cost"] = get_path(message, "cost", "amount")
    return Receipt(message_id, {name: value for name, value in detail.items() if value is not None})


def classify_error(account: Account, response: responses.Response) -> ExecutionError:
    """Return the error for any response except a receipt, by its first known code."""
    errors = response.json().get("errors")
    for error in errors if isinstance(errors, list) else []:
        code, message = str(get_path(error, "code")), _format_message(error)
        row = _STOPPED if code == "40300" and "STOP" in message else ERROR_RULES.get(code)
        if row is not None:
            wait = responses.parse_retry_after(response, "x-ratelimit-reset") or responses.parse_retry_after(response)
            return row.build_error("Telnyx", account.redact(message), code, wait if row is _SLOW_DOWN else None)
    if response.status in (401, 403):
        return _ACCOUNT.build_error("Telnyx", "", str(response.status))
    if response.status in (400, 422):
        message = _format_message(errors[0]) if isinstance(errors, list) and errors else ""
        return _REQUEST.build_error("Telnyx", account.redact(message), str(response.status))
    return responses.build_unexpected_status_error("Telnyx", response, effect=True)


def _format_message(error: Any) -> str:
    return ": ".join(part for part in (get_text(error, "title"), get_text(error, "detail")) if part)


def verify(headers: Mapping[str, str], raw: bytes, public_key: str, now: datetime) -> bool:
    """Whether `raw` has Telnyx's Ed25519 signature from within `SIGNATURE_AGE` of `now`, the real time.

    `public_key` is the account's, in base64, from Mission Control. Header names are case-insensitive.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = lower.get("telnyx-timestamp", ""), lower.get("telnyx-signature-ed25519", "")
    if not (_TIMESTAMP.fullmatch(timestamp) and _SIGNATURE.fullmatch(signature)):
        return False
    if abs(now.timestamp() - int(timestamp)) > SIGNATURE_AGE.total_seconds():
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature), timestamp.encode() + b"|" + raw)
    except (ValueError, binascii.Error, InvalidSignature):
        return False
    return True


_STATUS_KINDS: dict[str, CallbackKind] = {
    "sent": "sent",
    "delivered": "delivered",
    # The carrier sends no receipts: not a failure, and no further status follows.
    "delivery_unconfirmed": "sent",
    "delivery_failed": "failed",
    "sending_failed": "failed",
    "expired": "failed",
}


def read_event(body: Mapping[str, Any]) -> Callback | None:
    """Parse the event of a webhook's body; None for an irrelevant event or an undocumented format."""
    event = get_path(body, "data")
    event_id, occurred_at = get_text(event, "id"), parse_timestamp(get_path(event, "occurred_at"))
    payload = get_path(event, "payload")
    if event_id is None or occurred_at is None or not isinstance(payload, dict):
        return None
    match get_text(event, "event_type"):
        case "message.received":
            return _parse_inbound_message(event_id, occurred_at, payload)
        case "message.sent" | "message.finalized":
            return _parse_status_change(event_id, occurred_at, payload)
    return None


def _parse_inbound_message(event_id: str, occurred_at: datetime, payload: dict[str, Any]) -> Callback | None:
    sender, text = get_text(payload, "from", "phone_number"), get_text(payload, "text")
    if sender is None:
        return None
    opts_out = asks_to_stop(text) or (get_text(payload, "autoresponse_type") or "").lower() in ("opt-out", "stop")
    return Callback(
        provider="telnyx",
        event_id=event_id,
        kind="unsubscribed" if opts_out else "replied",
        provider_message_id=None,
        message_key=None,
        address=sender,
        text=text,
        occurred_at=occurred_at,
        detail={"messageId": get_text(payload, "id"), "to": get_text(payload, "to", 0, "phone_number")},
    )


def _parse_status_change(event_id: str, occurred_at: datetime, payload: dict[str, Any]) -> Callback | None:
    status, message_id = get_text(payload, "to", 0, "status"), get_text(payload, "id")
    kind = _STATUS_KINDS.get(status or "")
    if kind is None or message_id is None:
        return None
    error = get_path(payload, "errors", 0)
    code = get_text(error, "code")
    if kind == "failed" and code in _BAD_ADDRESS:
        kind = "bounced"
    return Callback(
        provider="telnyx",
        event_id=event_id,
        kind=kind,
        provider_message_id=message_id,
        message_key=None,
        address=get_text(payload, "to", 0, "phone_number"),
        text=_format_message(error) or None,
        occurred_at=occurred_at,
        permanent=kind in ("failed", "bounced"),
        detail={name: value for name, value in (("status", status), ("code", code)) if value},
    )
