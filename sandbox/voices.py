"""How each provider is spoken: which requests are its, what it takes from one, and how it accepts or refuses.

A `Voice` reads a request into a `Heard`: a message to accept with the answer that goes with it, or a refusal. It knows
nothing of faults or connections; `sandbox.server` plays those around it. The formats are the providers' own, as
`providers/` speaks them, written independently of that folder so that each checks the other. Meta's is in
`sandbox.graph`.
"""

from __future__ import annotations

import base64
import re
import secrets
import uuid
from email.utils import parseaddr
from typing import Any
from urllib.parse import parse_qsl, quote

from sandbox import graph, writing
from sandbox.exchange import Answer, Asked
from sandbox.heard import Heard, kept
from sandbox.memory import Memory, Message, now


def hear(asked: Asked, memory: Memory) -> Heard | None:
    """Find the provider whose path this is and let it read the request; None where it is no provider's."""
    path = asked.segments
    match (asked.method, *path):
        case ("POST", "v3", domain, "messages"):
            return _mailgun_send(asked, domain)
        case ("GET", "v3", domain, "events", *page):
            return _mailgun_events(asked, domain, memory, int(page[0]) if page and page[0].isdigit() else 0)
        case ("POST", "v2", "messages"):
            return _telnyx(asked)
        case ("POST", "v1beta", "models", action) if action.endswith(":generateContent"):
            return _gemini(asked, action.removesuffix(":generateContent"))
        case ("POST", "v1", "chat", "completions"):
            return _openai(asked)
        case ("POST", "services", _, _, _):
            return _slack(asked)
        case ("POST", "api", "v10", "webhooks", channel, _):
            return _discord(asked, channel)
        case (_, "_webhook", url):
            return _webhook(asked, url)
    return graph.hear(asked, memory)


def form(asked: Asked) -> dict[str, str]:
    """The fields of a form, multipart or urlencoded; the last of a repeated name holds."""
    kind = asked.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return dict(parse_qsl(asked.body.decode("utf-8", "replace"), keep_blank_values=True))
    boundary = re.search(r'boundary="?([^";]+)', kind)
    fields = {}
    # Split by hand: the standard library's mail parser takes a millisecond, ten times all the rest.
    for part in asked.body.split(b"--" + boundary[1].encode("latin-1"))[1:-1] if boundary else ():
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is not None:
            fields[name[1].decode("utf-8", "replace")] = content.removesuffix(b"\r\n").decode("utf-8", "replace")
    return fields


def _mailgun_send(asked: Asked, domain: str) -> Heard:
    fields = form(asked)
    to = parseaddr(fields.get("to", ""))[1]
    if not asked.headers.get("authorization", "").startswith("Basic "):
        return Heard("mailgun", to, Answer(401, "Forbidden"))
    if "@" not in to:
        return Heard("mailgun", to, Answer(400, {"message": "to parameter is not a valid address."}))
    for name in ("from", "subject"):
        if name not in fields:
            return Heard("mailgun", to, Answer(400, {"message": f"{name} parameter is missing"}))
    if not (fields.get("text") or fields.get("html")):
        return Heard("mailgun", to, Answer(400, {"message": "Need at least one of 'text' or 'html' parameters"}))
    message_id = f"<{now():%Y%m%d%H%M%S}.{secrets.token_hex(8)}@{domain}>"
    variables = [value for name, value in fields.items() if name.startswith("v:")]
    message = kept(asked, "mailgun", message_id, to, fields, variables[0] if variables else None)
    return Heard("mailgun", to, Answer(200, {"id": message_id, "message": "Queued. Thank you."}), message)


#: Events on one page of the look-up.
_PAGE = 300


def _mailgun_events(asked: Asked, domain: str, memory: Memory, page: int) -> Heard:
    if not asked.headers.get("authorization", "").startswith("Basic "):
        return Heard("mailgun", "", Answer(401, "Forbidden"), call="look_up")
    begin, recipient = float(asked.query.get("begin") or 0), asked.query.get("recipient")
    fitting = [
        accepted_event(one)
        for one in memory.messages
        if one.provider == "mailgun" and f"/v3/{domain}/" in one.path and one.at.timestamp() >= begin
        if recipient in (None, one.to)
    ]
    items = fitting[page * _PAGE : (page + 1) * _PAGE] if asked.query.get("event") in (None, "accepted") else []
    link = f"http://{asked.headers.get('host')}/v3/{domain}/events/{page + 1}?begin={begin:.3f}&event=accepted"
    link += f"&recipient={quote(recipient)}" if recipient else ""
    return Heard("mailgun", "", Answer(200, {"items": items, "paging": {"next": link}}), call="look_up")


def accepted_event(message: Message) -> dict[str, Any]:
    """Mailgun's event of having accepted a message."""
    return {
        "event": "accepted",
        "id": base64.urlsafe_b64encode(message.id.encode()).decode()[:22],
        "timestamp": message.at.timestamp(),
        "log-level": "info",
        "message": {"headers": {"message-id": message.id.strip("<>"), "to": message.to}},
        "recipient": message.to,
        "tags": [],
        "user-variables": user_variables(message),
    }


def user_variables(message: Message) -> dict[str, str]:
    """The user variables that were sent with an email."""
    return {name.removeprefix("v:"): value for name, value in message.body.items() if name.startswith("v:")}


def _telnyx(asked: Asked) -> Heard:
    body = asked.json()
    to = str(body.get("to") or "")
    if not asked.headers.get("authorization", "").startswith("Bearer "):
        return Heard("telnyx", to, Answer(401, telnyx_error("10009", "Authentication failed")))
    if not to.startswith("+"):
        return Heard("telnyx", to, Answer(400, telnyx_error("40310", "Invalid 'to' address")))
    if not body.get("text"):
        return Heard("telnyx", to, Answer(422, telnyx_error("40316", "No content provided")))
    if not (body.get("from") or body.get("messaging_profile_id")):
        return Heard("telnyx", to, Answer(422, telnyx_error("40305", "Invalid 'from' address")))
    message = kept(asked, "telnyx", str(uuid.uuid4()), to, body)
    return Heard("telnyx", to, Answer(200, {"data": telnyx_message(message, "queued")}), message)


def telnyx_error(code: str, title: str) -> dict[str, Any]:
    """An error in Telnyx's form."""
    return {"errors": [{"code": code, "title": title}]}


def telnyx_message(message: Message, status: str) -> dict[str, Any]:
    """An outbound message in Telnyx's form."""
    text = str(message.body.get("text", ""))
    return {
        "id": message.id,
        "record_type": "message",
        "direction": "outbound",
        "type": "SMS",
        "from": {"phone_number": str(message.body.get("from") or "+15550001111")},
        "to": [{"phone_number": message.to, "status": status, "carrier": "SANDBOX", "line_type": "Wireless"}],
        "text": text,
        "parts": 1 + len(text) // 160,
        "cost": {"amount": "0.0000", "currency": "USD"},
        "encoding": "GSM-7",
        "errors": [],
        "wait_seconds": 0.0,
    }


def _gemini(asked: Asked, model: str) -> Heard:
    body = asked.json()
    if not asked.headers.get("x-goog-api-key"):
        answer = Answer(403, gemini_error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."))
        return Heard("gemini", model, answer)
    prompt = writing.prompt_of(body)
    if not prompt:
        return Heard("gemini", model, Answer(400, gemini_error(400, "INVALID_ARGUMENT", "contents are required")))
    message = kept(asked, "gemini", uuid.uuid4().hex, model, body)
    return Heard("gemini", model, Answer(200, writing.generated(prompt, model, message.id)), message)


def gemini_error(code: int, status: str, text: str, details: list[Any] | None = None) -> dict[str, Any]:
    """An error in Google's form."""
    return {"error": {"code": code, "message": text, "status": status, "details": details or []}}


def _openai(asked: Asked) -> Heard:
    body = asked.json()
    model, turns = str(body.get("model") or ""), body.get("messages")
    if not asked.headers.get("authorization", "").startswith("Bearer "):
        return Heard("openai", model, Answer(401, openai_error("invalid_api_key", "You didn't provide an API key.")))
    prompt = writing.last_turn(turns)
    if not model or not prompt:
        return Heard("openai", model, Answer(400, openai_error("invalid_request_error", "messages are required")))
    message = kept(asked, "openai", f"chatcmpl-{uuid.uuid4().hex}", model, body)
    return Heard("openai", model, Answer(200, writing.completed(prompt, model, message.id)), message)


def openai_error(code: str, text: str) -> dict[str, Any]:
    """An error in OpenAI's form."""
    return {"error": {"message": text, "type": code, "param": None, "code": code}}


def _slack(asked: Asked) -> Heard:
    body = asked.json()
    if not (body.get("text") or body.get("blocks")):
        return Heard("slack", "slack", Answer(400, "no_text" if body else "invalid_payload"))
    return Heard("slack", "slack", Answer(200, "ok"), kept(asked, "slack", uuid.uuid4().hex, "slack", body))


def _discord(asked: Asked, channel: str) -> Heard:
    body = asked.json()
    if not 0 < len(str(body.get("content") or "")) <= 2000:
        return Heard("discord", "discord", Answer(400, {"message": "Invalid Form Body", "code": 50035}))
    message_id = str(secrets.randbits(62))
    message = kept(asked, "discord", message_id, "discord", body)
    posted = {"id": message_id, "channel_id": channel, "content": body["content"], "type": 0}
    wait = asked.query.get("wait") == "true"
    return Heard("discord", "discord", Answer(200, posted) if wait else Answer(204), message)


def _webhook(asked: Asked, url: str) -> Heard:
    body = asked.json() or asked.body.decode("utf-8", "replace")
    message_id = asked.headers.get("webhook-id") or uuid.uuid4().hex
    return Heard("webhook", url, Answer(200, {"ok": True}), kept(asked, "webhook", message_id, url, body))
