"""Plays a provider's callback to our own webhooks: the event in its form, signed as it signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sandbox import meta_events
from sandbox.memory import META, Message, now
from sandbox.voices import telnyx_message, user_variables

EVENTS = (
    "delivered", "bounced", "complained", "replied", "read", "opened", "clicked", "unsubscribed", "delayed", "postback",
    "reacted", "echo",
)  # fmt: skip

#: Our doors take the sandbox's signature from a loopback address alone, also where the dashboard listens on another one
#: of this machine's.
_client, _client_of_ipv6 = (
    urllib3.PoolManager(maxsize=8, retries=False, source_address=(address, 0)) for address in ("127.0.0.1", "::1")
)


@dataclass(frozen=True)
class Made:
    """A callback ready to be posted."""

    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def made(message: Message, given: Mapping[str, Any], webhook_secrets: Mapping[str, str], person: str) -> Made:
    """The callback for the given `event` of a message; `ValueError` where its provider has no such event.

    `person` is whom Meta would name: who got the message, or wrote the comment that it went to.
    """
    event, text = str(given.get("event") or ""), str(given.get("text") or "")
    if event not in EVENTS:
        raise ValueError(f"event must be one of {', '.join(EVENTS)}")
    if message.provider in META:
        return _meta(message.provider, meta_events.about(message, event, given, person), webhook_secrets)
    maker = {"mailgun": _mailgun, "telnyx": _telnyx}.get(message.provider)
    if maker is None:
        raise ValueError(f"{message.provider} calls nobody back")
    return maker(message, event, text, webhook_secrets)


def begun(given: Mapping[str, Any], webhook_secrets: Mapping[str, str], commenters: dict[str, str]) -> Made:
    """The callback for something that a person begins; who comments is kept in `commenters`, by the comment's id."""
    channel, body = meta_events.out_of_the_blue(str(given.get("event") or ""), given)
    if commented := meta_events.comment_of(body):
        commenters[commented[0]] = commented[1]
    return _meta(channel, body, webhook_secrets)


def deliver(target: str, callback: Made) -> int | None:
    """Post it to our webhook; the status that came back, or None where nobody answered."""
    url = target.rstrip("/") + callback.path
    client = _client_of_ipv6 if ":" in (urlsplit(target).hostname or "") else _client
    try:
        answer = client.request("POST", url, body=callback.body, headers=dict(callback.headers), timeout=10.0)
    except urllib3.exceptions.HTTPError:
        return None
    return answer.status


_MAILGUN: dict[str, dict[str, Any]] = {
    "delivered": {"event": "delivered", "delivery-status": {"code": 250, "message": "OK", "attempt-no": 1}},
    "bounced": {
        "event": "failed",
        "severity": "permanent",
        "reason": "bounce",
        "delivery-status": {"code": 550, "message": "5.1.1 The email account does not exist.", "attempt-no": 1},
    },
    "delayed": {
        "event": "failed",
        "severity": "temporary",
        "reason": "generic",
        "delivery-status": {"code": 451, "message": "4.7.0 Try again later.", "retry-seconds": 600},
    },
    "complained": {"event": "complained"},
    "unsubscribed": {"event": "unsubscribed"},
    "read": {"event": "opened"},
    "opened": {"event": "opened"},
    "clicked": {"event": "clicked", "url": "https://example.com/"},
}


def _mailgun(message: Message, event: str, text: str, webhook_secrets: Mapping[str, str]) -> Made:
    signature = _mailgun_signature(webhook_secrets)
    if event == "replied":
        return _mailgun_reply(message, text, signature)
    if event not in _MAILGUN:
        raise ValueError(f"mailgun has no event {event}")
    happened = {
        **_MAILGUN[event],
        "id": secrets.token_urlsafe(16),
        "timestamp": now().timestamp(),
        "recipient": message.to,
        "message": {"headers": {"message-id": message.id.strip("<>"), "to": message.to}},
        "tags": [],
        "flags": {"is-test-mode": False},
        "user-variables": user_variables(message),
    }
    body = json.dumps({"signature": signature, "event-data": happened}).encode()
    return Made("/api/webhooks/mailgun", body, {"Content-Type": "application/json"})


def _mailgun_signature(webhook_secrets: Mapping[str, str]) -> dict[str, str]:
    timestamp, token = str(int(now().timestamp())), secrets.token_hex(25)
    key = webhook_secrets.get("mailgun", "").encode()
    signed = hmac.new(key, (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": signed}


def _mailgun_reply(message: Message, text: str, signature: dict[str, str]) -> Made:
    form = {
        **signature,
        "sender": message.to,
        "from": message.to,
        "recipient": str(message.body.get("from", "")),
        "subject": f"Re: {message.body.get('subject', '')}",
        "body-plain": text,
        "stripped-text": text,
        "Message-Id": f"<{uuid.uuid4().hex}@reply.example.com>",
        "In-Reply-To": message.id,
        "References": message.id,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Made("/api/webhooks/mailgun/inbound", urlencode(form).encode(), headers)


_TELNYX = {"delivered": "delivered", "bounced": "delivery_failed", "delayed": "delivery_unconfirmed"}


def _telnyx(message: Message, event: str, text: str, webhook_secrets: Mapping[str, str]) -> Made:
    if event in ("replied", "complained", "unsubscribed"):
        said = text if event == "replied" else text or "STOP"
        kind, payload = "message.received", _telnyx_received(message, said)
    elif event in _TELNYX:
        kind, payload = "message.finalized", telnyx_message(message, _TELNYX[event])
        if event == "bounced":
            payload["errors"] = [{"code": "40008", "title": "Undeliverable"}]
    else:
        raise ValueError(f"telnyx has no event {event}")
    happened = {
        "event_type": kind,
        "id": str(uuid.uuid4()),
        "occurred_at": now().isoformat(timespec="milliseconds"),
        "record_type": "event",
        "payload": payload,
    }
    raw = json.dumps({"data": happened, "meta": {"attempt": 1}}).encode()
    headers = {"Content-Type": "application/json", **_telnyx_signed(raw, webhook_secrets)}
    return Made("/api/webhooks/telnyx", raw, headers)


def _telnyx_received(message: Message, text: str) -> dict[str, Any]:
    sender = str(message.body.get("from") or "+15550001111")
    return {
        "id": str(uuid.uuid4()),
        "record_type": "message",
        "direction": "inbound",
        "type": "SMS",
        "from": {"phone_number": message.to, "status": "delivered"},
        "to": [{"phone_number": sender, "status": "delivered"}],
        "text": text,
        "errors": [],
    }


def _telnyx_signed(raw: bytes, webhook_secrets: Mapping[str, str]) -> dict[str, str]:
    seed = webhook_secrets.get("telnyx")
    if not seed:
        raise ValueError("no Telnyx signing seed was given to the sandbox")
    timestamp = str(int(now().timestamp()))
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
    signature = base64.b64encode(key.sign(timestamp.encode() + b"|" + raw)).decode()
    return {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": signature}


def _meta(channel: str, body: Mapping[str, Any], webhook_secrets: Mapping[str, str]) -> Made:
    raw = json.dumps(body).encode()
    signed = hmac.new(webhook_secrets.get("meta", "").encode(), raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signed}"}
    return Made(f"/api/webhooks/{channel}", raw, headers)
