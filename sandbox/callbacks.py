"""Sends providers' callbacks to our own webhooks, in each provider's format and with its signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rules.json_text import dump_json
from sandbox import meta_events
from sandbox.look_ups import extract_user_variables
from sandbox.store import META, Message, now
from sandbox.telnyx_api import build_telnyx_message

EVENTS = (
    "delivered", "bounced", "complained", "replied", "read", "opened", "clicked", "unsubscribed", "delayed", "postback",
    "reacted", "echo",
)  # fmt: skip

#: Our webhooks accept the sandbox's signature only from a loopback address, even if the dashboard listens on another
#: address of this machine.
_client, _ipv6_client = (
    urllib3.PoolManager(maxsize=8, retries=False, source_address=(address, 0)) for address in ("127.0.0.1", "::1")
)


@dataclass(frozen=True)
class CallbackRequest:
    """A callback ready to be posted."""

    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def build_event_callback(
    message: Message, params: Mapping[str, Any], webhook_secrets: Mapping[str, str], person: str
) -> CallbackRequest:
    """Build the callback for the `event` of a message. Raises `ValueError` if its provider has no such event.

    `person` is the person in Meta's events: the recipient of the message, or the author of the comment it replies to.
    """
    event, text = str(params.get("event") or ""), str(params.get("text") or "")
    if event not in EVENTS:
        raise ValueError(f"event must be one of {', '.join(EVENTS)}")
    if message.provider in META:
        return _build_meta_event(
            message.provider, meta_events.build_message_event(message, event, params, person), webhook_secrets
        )
    build = {"mailgun": _build_mailgun_event, "telnyx": _build_telnyx_event}.get(message.provider)
    if build is None:
        raise ValueError(f"{message.provider} sends no callbacks")
    return build(message, event, text, webhook_secrets)


def build_contact_callback(
    params: Mapping[str, Any], webhook_secrets: Mapping[str, str], commenters: dict[str, str]
) -> CallbackRequest:
    """Build the callback for an event that a person initiates; adds a comment's author to `commenters` by its id."""
    channel, body = meta_events.build_contact_event(str(params.get("event") or ""), params)
    if comment := meta_events.extract_comment(body):
        commenters[comment[0]] = comment[1]
    return _build_meta_event(channel, body, webhook_secrets)


def deliver(target: str, callback: CallbackRequest) -> int | None:
    """Post the callback to our webhook; return the response's status, or None without a response."""
    url = target.rstrip("/") + callback.path
    client = _ipv6_client if ":" in (urlsplit(target).hostname or "") else _client
    try:
        response = client.request("POST", url, body=callback.body, headers=dict(callback.headers), timeout=10.0)
    except urllib3.exceptions.HTTPError:
        return None
    return response.status


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


def _build_mailgun_event(
    message: Message, event: str, text: str, webhook_secrets: Mapping[str, str]
) -> CallbackRequest:
    signature = _sign_mailgun(webhook_secrets)
    if event == "replied":
        return _build_mailgun_reply(message, text, signature)
    if event not in _MAILGUN:
        raise ValueError(f"mailgun has no event {event}")
    event_data = {
        **_MAILGUN[event],
        "id": secrets.token_urlsafe(16),
        "timestamp": now().timestamp(),
        "recipient": message.to,
        "message": {"headers": {"message-id": message.id.strip("<>"), "to": message.to}},
        "tags": [],
        "flags": {"is-test-mode": False},
        "user-variables": extract_user_variables(message),
    }
    body = dump_json({"signature": signature, "event-data": event_data}).encode()
    return CallbackRequest("/api/webhooks/mailgun", body, {"Content-Type": "application/json"})


def _sign_mailgun(webhook_secrets: Mapping[str, str]) -> dict[str, str]:
    timestamp, token = str(int(now().timestamp())), secrets.token_hex(25)
    key = webhook_secrets.get("mailgun", "").encode()
    digest = hmac.new(key, (timestamp + token).encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": digest}


def _build_mailgun_reply(message: Message, text: str, signature: dict[str, str]) -> CallbackRequest:
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
    return CallbackRequest("/api/webhooks/mailgun/inbound", urlencode(form).encode(), headers)


_TELNYX = {"delivered": "delivered", "bounced": "delivery_failed", "delayed": "delivery_unconfirmed"}


def _build_telnyx_event(message: Message, event: str, text: str, webhook_secrets: Mapping[str, str]) -> CallbackRequest:
    if event in ("replied", "complained", "unsubscribed"):
        reply = text if event == "replied" else text or "STOP"
        kind, payload = "message.received", _build_telnyx_inbound_message(message, reply)
    elif event in _TELNYX:
        kind, payload = "message.finalized", build_telnyx_message(message, _TELNYX[event])
        if event == "bounced":
            payload["errors"] = [{"code": "40008", "title": "Undeliverable"}]
    else:
        raise ValueError(f"telnyx has no event {event}")
    event_data = {
        "event_type": kind,
        "id": str(uuid.uuid4()),
        "occurred_at": now().isoformat(timespec="milliseconds"),
        "record_type": "event",
        "payload": payload,
    }
    raw = dump_json({"data": event_data, "meta": {"attempt": 1}}).encode()
    headers = {"Content-Type": "application/json", **_sign_telnyx(raw, webhook_secrets)}
    return CallbackRequest(_find_telnyx_path(message, kind), raw, headers)


def _find_telnyx_path(message: Message, kind: str) -> str:
    """Return the path for an event: that of the message's own URL for reports on it, of whatever host."""
    url = urlsplit(str(message.body.get("webhook_url") or ""))
    if kind == "message.received" or not url.path:
        return "/api/webhooks/telnyx"
    return f"{url.path}?{url.query}" if url.query else url.path


def _build_telnyx_inbound_message(message: Message, text: str) -> dict[str, Any]:
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


def _sign_telnyx(raw: bytes, webhook_secrets: Mapping[str, str]) -> dict[str, str]:
    seed = webhook_secrets.get("telnyx")
    if not seed:
        raise ValueError("the sandbox has no Telnyx signing seed")
    timestamp = str(int(now().timestamp()))
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
    signature = base64.b64encode(key.sign(timestamp.encode() + b"|" + raw)).decode()
    return {"telnyx-timestamp": timestamp, "telnyx-signature-ed25519": signature}


def _build_meta_event(channel: str, body: Mapping[str, Any], webhook_secrets: Mapping[str, str]) -> CallbackRequest:
    raw = dump_json(body).encode()
    digest = hmac.new(webhook_secrets.get("meta", "").encode(), raw, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={digest}"}
    return CallbackRequest(f"/api/webhooks/{channel}", raw, headers)
