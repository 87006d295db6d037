"""Verifies Telnyx's webhooks and parses their events.

Page: developers.telnyx.com, Messaging, Receiving webhooks.
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

from providers.base import Callback, CallbackKind
from providers.telnyx_errors import BAD_ADDRESS, format_message, is_stop
from providers.untrusted import get_path, get_text, parse_timestamp
from rules.opt_outs import Intent, read_message

#: A callback signed longer ago, or further ahead, is rejected. Telnyx documents no value; this one is conventional.
SIGNATURE_AGE = timedelta(seconds=300)
_TIMESTAMP = re.compile(r"[1-9][0-9]{9}")
#: 64 bytes in base64; the last character before the padding has two significant bits, the others are zero.
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{85}[AQgw]==")
#: The name of our message key in the query of a webhook's URL, and in its stored body.
KEY_PARAMETER, KEY_FIELD = "key", "beckon_key"


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


#: What Telnyx has taken a text for, by the type of its own answer.
_AUTORESPONSES: dict[str, Intent] = {
    "opt-out": "opt_out", "stop": "opt_out", "opt-in": "opt_in", "start": "opt_in", "help": "help",
}  # fmt: skip
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
            return _parse_status_change(event_id, occurred_at, payload, get_text(body, KEY_FIELD))
    return None


def _parse_inbound_message(event_id: str, occurred_at: datetime, payload: dict[str, Any]) -> Callback | None:
    sender, text = get_text(payload, "from", "phone_number"), get_text(payload, "text")
    if sender is None:
        return None
    answered = _AUTORESPONSES.get((get_text(payload, "autoresponse_type") or "").lower().replace("_", "-"))
    intent = _choose_intent(read_message(text), answered)
    return Callback(
        provider="telnyx",
        event_id=event_id,
        kind="unsubscribed" if intent == "opt_out" else "replied",
        provider_message_id=None,
        message_key=None,
        address=sender,
        text=text,
        occurred_at=occurred_at,
        intent=intent,
        is_answered=answered is not None,
        detail={"messageId": get_text(payload, "id"), "to": get_text(payload, "to", 0, "phone_number")},
    )


def _choose_intent(read: Intent | None, answered: Intent | None) -> Intent | None:
    """Return what a text asks for: to stop, where we or Telnyx read that, else as Telnyx has answered it.

    Telnyx's keywords are the account's: it may take another word, such as YES, for START.
    """
    return "opt_out" if "opt_out" in (read, answered) else answered or read


def add_key(body: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, Any]:
    """Return a webhook's body with our key from the query of its URL, which Telnyx's signature does not cover."""
    return {**body, KEY_FIELD: query.get(KEY_PARAMETER)}


def _parse_status_change(
    event_id: str, occurred_at: datetime, payload: dict[str, Any], message_key: str | None
) -> Callback | None:
    status, message_id = get_text(payload, "to", 0, "status"), get_text(payload, "id")
    kind = _STATUS_KINDS.get(status or "")
    if kind is None or message_id is None:
        return None
    raw_errors = get_path(payload, "errors")
    errors = [error for error in (raw_errors if isinstance(raw_errors, list) else []) if isinstance(error, dict)]
    error = next(iter(errors), {})
    code = get_text(error, "code")
    if kind == "failed" and code in BAD_ADDRESS:
        kind = "bounced"
    return Callback(
        provider="telnyx",
        event_id=event_id,
        kind=kind,
        provider_message_id=message_id,
        message_key=message_key,
        key_is_unsigned=True,
        address=get_text(payload, "to", 0, "phone_number"),
        text=format_message(error) or None,
        occurred_at=occurred_at,
        permanent=kind in ("failed", "bounced"),
        sent_text=get_text(payload, "text"),
        suppress_channel=any(is_stop(str(get_path(error, "code")), format_message(error)) for error in errors),
        detail={name: value for name, value in (("status", status), ("code", code)) if value},
    )
