"""The sandbox calls our webhooks as the providers do; our verification accepts its callbacks."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from providers import mailgun, meta_callbacks, telnyx
from providers.base import Callback, OutgoingMessage
from providers.registry import SENDERS, build_sandbox_account
from sandbox.server import RunningSandbox, run_sandbox
from tests.support.serving import serve

SEED = base64.b64encode(b"7" * 32).decode()
PUBLIC = base64.b64encode(Ed25519PrivateKey.from_private_bytes(b"7" * 32).public_key().public_bytes_raw()).decode()
SECRETS = {"mailgun": "signing-key", "telnyx": SEED, "meta": "app-secret"}


@dataclass
class WebhookLog:
    """The requests that our webhooks received."""

    status: int = 200
    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def webhook_log() -> WebhookLog:
    return WebhookLog()


@pytest.fixture
def sandbox(webhook_log: WebhookLog) -> Iterator[RunningSandbox]:
    with serve_webhooks(webhook_log) as url, run_sandbox(url, SECRETS) as instance:
        yield instance


@contextlib.contextmanager
def serve_webhooks(webhook_log: WebhookLog) -> Iterator[str]:
    class WebhookHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            webhook_log.calls.append((self.path, dict(self.headers), body))
            self.send_response(webhook_log.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Disable logging."""

    with serve(ThreadingHTTPServer(("127.0.0.1", 0), WebhookHandler)) as url:
        yield url


def play(
    sandbox: RunningSandbox, event: str, message_id: str | None = None, text: str = ""
) -> tuple[int, dict[str, Any]]:
    body = {"messageId": message_id or sandbox.list_messages()[-1]["id"], "event": event, "text": text}
    response = urllib3.request("POST", f"{sandbox.url}/_sandbox/events", json=body, retries=False)
    return response.status, response.json()


def send(sandbox: RunningSandbox, provider: str, to: str) -> str | None:
    message = OutgoingMessage(key="exec-1/hello/0", to=to, body="Hello", subject="Hi")
    return SENDERS[provider].send(build_sandbox_account(provider, sandbox.url), message).provider_message_id


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("delivered", "delivered"),
        ("bounced", "bounced"),
        ("complained", "complained"),
        ("read", "opened"),
        ("clicked", "clicked"),
        ("unsubscribed", "unsubscribed"),
        ("delayed", "delayed"),
    ],
)
def test_an_emails_event_is_signed_and_has_id_key_and_address(
    sandbox: RunningSandbox, webhook_log: WebhookLog, event: str, kind: str
) -> None:
    sent = send(sandbox, "mailgun", "ada@example.com")

    assert play(sandbox, event) == (200, {"success": True, "status": 200})

    path, _, raw = webhook_log.calls[0]
    body = json.loads(raw)
    callback = mailgun.read_event(body)
    assert path == "/api/webhooks/mailgun"
    assert mailgun.verify(body, ["signing-key"], datetime.now(UTC))
    assert callback is not None
    assert (callback.kind, callback.provider_message_id) == (kind, sent)
    assert (callback.message_key, callback.address) == ("exec-1/hello/0", "ada@example.com")


def test_an_emails_reply_arrives_as_inbound_mail(sandbox: RunningSandbox, webhook_log: WebhookLog) -> None:
    sent = send(sandbox, "mailgun", "ada@example.com")

    play(sandbox, "replied", text="Yes please")

    path, _, raw = webhook_log.calls[0]
    form = dict(parse_qsl(raw.decode()))
    callback = mailgun.read_inbound(form)
    assert path == "/api/webhooks/mailgun/inbound"
    assert mailgun.verify(form, ["signing-key"], datetime.now(UTC))
    assert callback is not None
    assert (callback.kind, callback.text, callback.provider_message_id) == ("replied", "Yes please", sent)


@pytest.mark.parametrize("name", ["exec-1/hello/0", None])
def test_an_email_is_found_by_our_key_or_without_brackets(
    sandbox: RunningSandbox, webhook_log: WebhookLog, name: str | None
) -> None:
    sent = send(sandbox, "mailgun", "ada@example.com")
    assert play(sandbox, "delivered", name or sent)[0] == 200


@pytest.mark.parametrize(
    ("event", "kind"),
    [("delivered", "delivered"), ("bounced", "bounced"), ("replied", "replied"), ("complained", "unsubscribed")],
)
def test_the_event_of_an_sms_is_signed_and_parsed(
    sandbox: RunningSandbox, webhook_log: WebhookLog, event: str, kind: str
) -> None:
    sent = send(sandbox, "telnyx", "+15550100")

    play(sandbox, event, text="STOP" if event == "complained" else "Yes")

    path, headers, raw = webhook_log.calls[0]
    callback = telnyx.read_event(json.loads(raw))
    assert path == "/api/webhooks/telnyx"
    assert telnyx.verify(headers, raw, PUBLIC, datetime.now(UTC))
    assert isinstance(callback, Callback)
    assert (callback.kind, callback.address) == (kind, "+15550100")
    assert callback.provider_message_id in (sent, None)


@pytest.mark.parametrize(
    ("account", "name", "event"),
    [
        ("17841405726653026", "instagram", "replied"),
        ("17841405726653026", "instagram", "read"),
        ("1906385232743851", "facebook", "delivered"),
    ],
)
def test_metas_events_are_signed_over_the_raw_body(
    sandbox: RunningSandbox, webhook_log: WebhookLog, account: str, name: str, event: str
) -> None:
    body = {"recipient": {"id": "157"}, "message": {"text": "Hi"}}
    url = f"{sandbox.url}/v25.0/{account}/messages"
    urllib3.request("POST", url, json=body, headers={"Authorization": "Bearer x"}, retries=False)

    assert play(sandbox, event, text="Yes")[0] == 200

    path, headers, raw = webhook_log.calls[0]
    signature = hmac.new(b"app-secret", raw, hashlib.sha256).hexdigest()
    assert path == f"/api/webhooks/{name}"
    assert headers["X-Hub-Signature-256"] == f"sha256={signature}"
    entry = json.loads(raw)["entry"][0]
    assert (entry["id"], entry["messaging"][0]["sender"]["id"]) == (account, "157")


def post_event(sandbox: RunningSandbox, **body: Any) -> tuple[int, dict[str, Any]]:
    response = urllib3.request("POST", f"{sandbox.url}/_sandbox/events", json=body, retries=False)
    return response.status, response.json()


def read_callbacks(webhook_log: WebhookLog) -> list[Callback | None]:
    return [
        meta_callbacks.read_event(single)
        for _, headers, raw in webhook_log.calls
        if meta_callbacks.verify(headers["X-Hub-Signature-256"], raw, ["app-secret"])
        for single in meta_callbacks.split_events(json.loads(raw))
    ]


@pytest.mark.parametrize("channel", ["instagram", "facebook"])
def test_an_event_that_a_person_initiates_has_metas_format(
    sandbox: RunningSandbox, webhook_log: WebhookLog, channel: str
) -> None:
    event_fields = {"provider": channel, "account": "178", "from": "157", "text": "Hello"}
    for event in ("comment", "message", "story_reply", "postback"):
        assert post_event(sandbox, event=event, **event_fields) == (200, {"success": True, "status": 200})

    callbacks = read_callbacks(webhook_log)
    assert [callback and callback.kind for callback in callbacks] == ["comment", "replied", "replied", "replied"]
    assert [callback and callback.detail.get("as") for callback in callbacks] == [
        None,
        "message",
        "story_reply",
        "postback",
    ]
    assert {(callback.provider, callback.address, callback.text) for callback in callbacks if callback} == {
        (channel, "157", "Hello")
    }


@pytest.mark.parametrize(
    ("event", "kind"),
    [("replied", "replied"), ("postback", "replied"), ("reacted", "reacted"), ("read", "read"), ("echo", "echo"),
     ("unsubscribed", "unsubscribed")],
)  # fmt: skip
def test_the_commenter_answers_the_private_reply(
    sandbox: RunningSandbox, webhook_log: WebhookLog, event: str, kind: str
) -> None:
    post_event(
        sandbox, event="comment", provider="instagram", account="178", **{"from": "157"}, commentId="c-1", text="Hi"
    )
    sent = OutgoingMessage(key="exec-1/hello/0", to="c-1", body="Hello", kind="private_reply", sender="178")
    message_id = SENDERS["instagram"].send(build_sandbox_account("instagram", sandbox.url), sent).provider_message_id

    assert play(sandbox, event, message_id)[0] == 200

    callback = read_callbacks(webhook_log)[-1]
    assert callback is not None
    assert (callback.kind, callback.address, callback.detail["account"]) == (kind, "157", "178")
    assert event != "echo" or callback.message_key == "exec-1/hello/0"
    assert event != "replied" or callback.detail["answers"] == message_id


@pytest.mark.parametrize(
    "body",
    [
        {"event": "message", "provider": "mailgun", "account": "178", "from": "157"},
        {"event": "message", "provider": "instagram", "from": "157"},
        {"event": "message", "provider": "instagram", "account": "178"},
        {"event": "read", "provider": "instagram", "account": "178", "from": "157"},
        {},
    ],
)
def test_a_missing_field_of_a_persons_event_is_reported(sandbox: RunningSandbox, body: dict[str, Any]) -> None:
    assert post_event(sandbox, **body)[0] == 422


def test_an_unknown_message_and_an_unknown_event_are_rejected(sandbox: RunningSandbox) -> None:
    send(sandbox, "slack", "")
    assert play(sandbox, "delivered", "nobody")[0] == 404
    assert play(sandbox, "delivered")[0] == 422
    send(sandbox, "telnyx", "+15550100")
    assert play(sandbox, "exploded")[0] == 422
    assert play(sandbox, "read")[0] == 422


def test_a_webhook_that_rejects_or_is_unreachable_is_reported(sandbox: RunningSandbox, webhook_log: WebhookLog) -> None:
    send(sandbox, "mailgun", "ada@example.com")
    webhook_log.status = 403
    assert play(sandbox, "delivered") == (502, {"success": False, "status": 403})

    with run_sandbox("http://127.0.0.1:9", SECRETS) as alone:
        send(alone, "mailgun", "ada@example.com")
        assert play(alone, "delivered") == (502, {"success": False, "status": None})


def test_without_a_seed_telnyx_cannot_be_played(webhook_log: WebhookLog) -> None:
    with serve_webhooks(webhook_log) as url, run_sandbox(url, {}) as bare:
        send(bare, "telnyx", "+15550100")
        assert play(bare, "delivered")[0] == 422
