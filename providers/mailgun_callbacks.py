"""Verifies Mailgun's callbacks and parses their events and the mail of an inbound route.

Only a timestamp and a token are signed, not the body, so contents are advisory: join them only on ids that we issued.
`providers.mailgun` re-exports these names; import them from there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any

from providers.automatic_mail import is_automatic
from providers.base import Callback, CallbackKind
from providers.untrusted import get_path, get_text, parse_timestamp
from rules.opt_outs import Intent, read_message

#: The user variable with our message key; every event contains it.
KEY_VARIABLE = "beckon_key"
#: Mailgun retries for eight hours with one signature; older ones and ones too far in the future are rejected.
SIGNATURE_AGE = timedelta(hours=9)
SIGNATURE_SKEW = timedelta(minutes=5)
#: The three fields of a signature, and their formats. Each has a fixed length: the signed text is the timestamp and the
#: token without a separator, so digits must not move from one to the other.
SIGNATURE_FIELDS = ("timestamp", "token", "signature")
_SIGNATURE_PATTERNS = {
    "timestamp": re.compile(r"[1-9][0-9]{9}"),
    "token": re.compile(r"[0-9A-Za-z]{50}"),
    "signature": re.compile(r"[0-9a-f]{64}"),
}


def strip_angle_brackets(message_id: str | None) -> str | None:
    """Return a Message-Id without angle brackets, as in Mailgun's events."""
    return message_id.strip().removeprefix("<").removesuffix(">") if message_id else None


def verify(body: Mapping[str, Any], signing_keys: Sequence[str], now: datetime) -> bool:
    """Whether a callback (JSON, `signature` an object) or an inbound form (three flat fields) has our signature.

    `now` is the real time. Only timestamp and token are signed, so a captured signature matches any body: reject a
    token (`read_replay_token`) that came with another body. Several keys are accepted during a rotation.
    """
    parts = _read_signature(body)
    if parts is None:
        return False
    timestamp, token, signature = parts
    if not -SIGNATURE_SKEW.total_seconds() <= now.timestamp() - int(timestamp) <= SIGNATURE_AGE.total_seconds():
        return False
    signed_bytes = (timestamp + token).encode()
    digests = [hmac.new(key.encode(), signed_bytes, hashlib.sha256).hexdigest() for key in signing_keys if key]
    return any(hmac.compare_digest(digest.encode(), signature.encode()) for digest in digests)


def read_replay_token(body: Mapping[str, Any]) -> str | None:
    """Return the token of a signed body; store it for as long as a signature is accepted."""
    token = _get_signature_fields(body).get("token")
    return token if isinstance(token, str) else None


def _get_signature_fields(body: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = body.get("signature")
    return nested if isinstance(nested, Mapping) else body


def _read_signature(body: Mapping[str, Any]) -> tuple[str, str, str] | None:
    fields = _get_signature_fields(body)
    texts = {name: fields.get(name) for name in SIGNATURE_FIELDS}
    if not all(isinstance(text, str) and _SIGNATURE_PATTERNS[name].fullmatch(text) for name, text in texts.items()):
        return None
    return str(texts["timestamp"]), str(texts["token"]), str(texts["signature"])


_KINDS: dict[str, CallbackKind] = {
    "accepted": "sent",
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "complained": "complained",
    "rejected": "failed",
}
#: Failures that are not about the address: Mailgun gave up, or had suppressed the address itself.
_NON_BOUNCE_REASONS = frozenset({"old", "suppress-unsubscribe", "suppress-complaint"})


def read_event(body: Mapping[str, Any]) -> Callback | None:
    """Parse the event of a webhook's body; None for an irrelevant event or an undocumented format."""
    event = get_path(body, "event-data")
    event_id, occurred_at = get_text(event, "id"), parse_timestamp(get_path(event, "timestamp"))
    kind = _classify_event(event)
    if event_id is None or occurred_at is None or kind is None:
        return None
    return Callback(
        provider="mailgun",
        event_id=event_id,
        kind=kind,
        provider_message_id=strip_angle_brackets(get_text(event, "message", "headers", "message-id")),
        message_key=get_text(event, "user-variables", KEY_VARIABLE),
        address=get_text(event, "recipient"),
        text=get_text(event, "delivery-status", "message") or get_text(event, "delivery-status", "description"),
        occurred_at=occurred_at,
        permanent=kind in ("bounced", "failed"),
        detail=dict(_read_detail(event)),
    )


def _classify_event(event: Any) -> CallbackKind | None:
    name = get_text(event, "event") or ""
    if name != "failed":
        return _KINDS.get(name)
    if get_text(event, "severity") != "permanent":
        return "delayed"
    return "failed" if get_text(event, "reason") in _NON_BOUNCE_REASONS else "bounced"


def _read_detail(event: Any) -> Iterator[tuple[str, object]]:
    for name in ("severity", "reason", "url"):
        if value := get_text(event, name):
            yield name, value
    for name in ("code", "enhanced-code", "bounce-code", "attempt-no", "retry-seconds", "mx-host"):
        value = get_path(event, "delivery-status", name)
        if isinstance(value, (str, int, float)):
            yield name, value
    for group, name in (("flags", "is-test-mode"), ("flags", "is-delayed-bounce"), ("client-info", "bot")):
        if value := get_path(event, group, name):
            yield name, value


def read_inbound(form: Mapping[str, str]) -> Callback | None:
    """Parse a contact's mail from an inbound route as `replied` or `unsubscribed`; None for anything else.

    Mail that a program wrote (out of office, a bounce, a newsletter) is not a reply. `provider_message_id` is the
    message that it answers.
    """
    sender = parseaddr(_read_field(form, "from"))[1] or _read_field(form, "sender")
    occurred_at = parse_timestamp(_read_field(form, "timestamp"))
    event_id = _read_field(form, "Message-Id") or _read_field(form, "token")
    if not sender or not event_id or occurred_at is None or is_automatic(form):
        return None
    text = _read_field(form, "stripped-text") or _read_field(form, "body-plain")
    intent = _choose_intent(read_message(text), read_message(_read_field(form, "subject")))
    return Callback(
        provider="mailgun",
        event_id=event_id,
        kind="unsubscribed" if intent == "opt_out" else "replied",
        provider_message_id=strip_angle_brackets(_read_field(form, "In-Reply-To")) or None,
        message_key=None,
        address=sender.lower(),
        text=text,
        occurred_at=occurred_at,
        intent=intent,
        detail={
            "subject": _read_field(form, "subject"),
            "recipient": _read_field(form, "recipient"),
            "references": [
                reference
                for raw_reference in _read_field(form, "References").split()
                if (reference := strip_angle_brackets(raw_reference))
            ],
        },
    )


def _choose_intent(of_text: Intent | None, of_subject: Intent | None) -> Intent | None:
    """Return what a mail asks for. A doubtful subject counts for nothing: mostly it is that of our own mail."""
    if "opt_out" in (of_text, of_subject):
        return "opt_out"
    return "possible_opt_out" if of_text == "possible_opt_out" else None


def _read_field(form: Mapping[str, str], name: str) -> str:
    value = form.get(name)
    return value if isinstance(value, str) else ""
