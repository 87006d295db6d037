"""What Mailgun tells us: verifying a callback, reading its event, reading a contact's mail from an inbound route.

Only a timestamp and a token are signed, not the body, so contents are advisory: join them only on ids that we issued.
The names here are also those of `providers.mailgun`, which is where others import them from.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parseaddr
from typing import Any

from providers.base import Callback, Kind, asks_to_stop
from providers.shapes import at_path, moment, text_at

#: The user variable that carries our message key; it comes back with every event.
KEY_VARIABLE = "beckon_key"
#: Mailgun tries for eight hours with one signature; an older one is refused, and one from too far ahead.
SIGNATURE_AGE = timedelta(hours=9)
SIGNATURE_SKEW = timedelta(minutes=5)
#: The three fields of a signature, and their forms. Each has one length: what is signed is timestamp and token in a
#: row, and digits must not slide from one to the other.
SIGNATURE_FIELDS = ("timestamp", "token", "signature")
_FORMS = {
    "timestamp": re.compile(r"[1-9][0-9]{9}"),
    "token": re.compile(r"[0-9A-Za-z]{50}"),
    "signature": re.compile(r"[0-9a-f]{64}"),
}


def bare_id(message_id: str | None) -> str | None:
    """A Message-Id without its angle brackets, as Mailgun's events carry it."""
    return message_id.strip().removeprefix("<").removesuffix(">") if message_id else None


def verify(body: Mapping[str, Any], signing_keys: Sequence[str], now: datetime) -> bool:
    """Whether a callback (JSON, `signature` an object) or an inbound form (three flat fields) bears our signature.

    `now` is the real time. Only timestamp and token are signed, so a captured signature fits any body: refuse a
    `replay_token` that came with another one. Several keys are accepted while one is being replaced.
    """
    found = _signature(body)
    if found is None:
        return False
    timestamp, token, signature = found
    if not -SIGNATURE_SKEW.total_seconds() <= now.timestamp() - int(timestamp) <= SIGNATURE_AGE.total_seconds():
        return False
    signed = (timestamp + token).encode()
    made = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in signing_keys if key]
    return any(hmac.compare_digest(one.encode(), signature.encode()) for one in made)


def replay_token(body: Mapping[str, Any]) -> str | None:
    """The token of a signed body, to be remembered for as long as a signature is accepted."""
    token = _fields(body).get("token")
    return token if isinstance(token, str) else None


def _fields(body: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = body.get("signature")
    return nested if isinstance(nested, Mapping) else body


def _signature(body: Mapping[str, Any]) -> tuple[str, str, str] | None:
    fields = _fields(body)
    texts = {name: fields.get(name) for name in SIGNATURE_FIELDS}
    if not all(isinstance(text, str) and _FORMS[name].fullmatch(text) for name, text in texts.items()):
        return None
    return str(texts["timestamp"]), str(texts["token"]), str(texts["signature"])


_KINDS: dict[str, Kind] = {
    "accepted": "sent",
    "delivered": "delivered",
    "opened": "opened",
    "clicked": "clicked",
    "unsubscribed": "unsubscribed",
    "complained": "complained",
    "rejected": "failed",
}
#: Failures that say nothing about the address: Mailgun gave up, or kept back what it had suppressed itself.
_NOT_A_BOUNCE = frozenset({"old", "suppress-unsubscribe", "suppress-complaint"})


def read_event(body: Mapping[str, Any]) -> Callback | None:
    """The event of a webhook's body, or None for one that is not ours to follow or not in the documented form."""
    event = at_path(body, "event-data")
    event_id, happened = text_at(event, "id"), moment(at_path(event, "timestamp"))
    kind = _kind_of(event)
    if event_id is None or happened is None or kind is None:
        return None
    return Callback(
        provider="mailgun",
        event_id=event_id,
        kind=kind,
        provider_message_id=bare_id(text_at(event, "message", "headers", "message-id")),
        message_key=text_at(event, "user-variables", KEY_VARIABLE),
        address=text_at(event, "recipient"),
        text=text_at(event, "delivery-status", "message") or text_at(event, "delivery-status", "description"),
        occurred_at=happened,
        permanent=kind in ("bounced", "failed"),
        detail=dict(_detail(event)),
    )


def _kind_of(event: Any) -> Kind | None:
    name = text_at(event, "event") or ""
    if name != "failed":
        return _KINDS.get(name)
    if text_at(event, "severity") != "permanent":
        return "delayed"
    return "failed" if text_at(event, "reason") in _NOT_A_BOUNCE else "bounced"


def _detail(event: Any) -> Iterator[tuple[str, object]]:
    for name in ("severity", "reason", "url"):
        if found := text_at(event, name):
            yield name, found
    for name in ("code", "enhanced-code", "bounce-code", "attempt-no", "retry-seconds", "mx-host"):
        found = at_path(event, "delivery-status", name)
        if isinstance(found, (str, int, float)):
            yield name, found
    for group, name in (("flags", "is-test-mode"), ("flags", "is-delayed-bounce"), ("client-info", "bot")):
        if found := at_path(event, group, name):
            yield name, found


def read_inbound(form: Mapping[str, str]) -> Callback | None:
    """A contact's mail from an inbound route, as `replied` or `unsubscribed`; None for anything else.

    An automatic answer (out of office, a bounce) is not a reply. `provider_message_id` is the message that it answers.
    """
    sender = parseaddr(_field(form, "from"))[1] or _field(form, "sender")
    happened = moment(_field(form, "timestamp"))
    event_id = _field(form, "Message-Id") or _field(form, "token")
    if not sender or not event_id or happened is None or _automatic(form):
        return None
    text = _field(form, "stripped-text") or _field(form, "body-plain")
    wants_out = asks_to_stop(text) or asks_to_stop(_field(form, "subject"))
    return Callback(
        provider="mailgun",
        event_id=event_id,
        kind="unsubscribed" if wants_out else "replied",
        provider_message_id=bare_id(_field(form, "In-Reply-To")) or None,
        message_key=None,
        address=sender.lower(),
        text=text,
        occurred_at=happened,
        detail={
            "subject": _field(form, "subject"),
            "recipient": _field(form, "recipient"),
            "references": [reference for one in _field(form, "References").split() if (reference := bare_id(one))],
        },
    )


def _field(form: Mapping[str, str], name: str) -> str:
    found = form.get(name)
    return found if isinstance(found, str) else ""


def _automatic(form: Mapping[str, str]) -> bool:
    try:
        pairs = json.loads(_field(form, "message-headers") or "[]")
        headers = {str(pair[0]).lower(): str(pair[1]).lower() for pair in pairs}
    except (ValueError, TypeError, LookupError):
        headers = {}
    submitted = headers.get("auto-submitted") or _field(form, "Auto-Submitted").lower() or "no"
    sender = parseaddr(_field(form, "from"))[1].lower()
    return submitted != "no" or "x-autoreply" in headers or sender.startswith("mailer-daemon@")
