"""Imitates the API of each provider: routes and parses its requests, and accepts or rejects them.

Each request becomes a `ParsedRequest`: a message to accept with its response, or a rejection. Faults and connections
are handled by `sandbox.server`. The formats are the providers' own, implemented independently of `providers/` so that
each checks the other. Meta's API is in `sandbox.meta_graph`.
"""

from __future__ import annotations

import re
import secrets
import uuid
from email.utils import parseaddr
from typing import Any
from urllib.parse import parse_qsl

from rules import sms_text
from sandbox import generated_texts, look_ups, meta_graph
from sandbox.http import HttpResponse, Request
from sandbox.parsed_request import ParsedRequest, build_message
from sandbox.store import Message, Store, now


def parse_request(request: Request, store: Store) -> ParsedRequest | None:
    """Parse the request with the provider of its path; None if the path is no provider's."""
    path = request.segments
    match (request.method, *path):
        case ("POST", "v3", domain, "messages"):
            return _parse_mailgun_send(request, domain)
        case ("GET", "v3", domain, "events", *page):
            return _parse_mailgun_events(request, domain, store, page[0] if page else None)
        case ("POST", "v2", "messages"):
            return _parse_telnyx_send(request)
        case ("GET", "v2", "detail_records"):
            return _parse_telnyx_records(request, store)
        case ("POST", "v1beta", "models", action) if action.endswith(":generateContent"):
            return _parse_gemini_request(request, action.removesuffix(":generateContent"))
        case ("POST", "v1", "chat", "completions"):
            return _parse_openai_request(request)
        case ("POST", "services", _, _, _):
            return _parse_slack_post(request)
        case ("POST", "api", "v10", "webhooks", channel, _):
            return _parse_discord_post(request, channel)
        case (_, "_webhook", url):
            return _parse_webhook_post(request, url)
    return meta_graph.parse_request(request, store)


def parse_form(request: Request) -> dict[str, str]:
    """Parse the fields of a form, multipart or urlencoded; the last value of a repeated name wins."""
    kind = request.headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        return dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    boundary = re.search(r'boundary="?([^";]+)', kind)
    fields = {}
    # Split manually: the standard library's mail parser takes a millisecond, ten times the rest of the request.
    for part in request.body.split(b"--" + boundary[1].encode("latin-1"))[1:-1] if boundary else ():
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is not None:
            fields[name[1].decode("utf-8", "replace")] = content.removesuffix(b"\r\n").decode("utf-8", "replace")
    return fields


def _parse_mailgun_send(request: Request, domain: str) -> ParsedRequest:
    fields = parse_form(request)
    to = parseaddr(fields.get("to", ""))[1]
    if not request.headers.get("authorization", "").startswith("Basic "):
        return ParsedRequest("mailgun", to, HttpResponse(401, "Forbidden"))
    if "@" not in to:
        return ParsedRequest("mailgun", to, HttpResponse(400, {"message": "to parameter is not a valid address."}))
    for name in ("from", "subject"):
        if name not in fields:
            return ParsedRequest("mailgun", to, HttpResponse(400, {"message": f"{name} parameter is missing"}))
    if not (fields.get("text") or fields.get("html")):
        return ParsedRequest(
            "mailgun", to, HttpResponse(400, {"message": "Need at least one of 'text' or 'html' parameters"})
        )
    message_id = f"<{now():%Y%m%d%H%M%S}.{secrets.token_hex(8)}@{domain}>"
    variables = [value for name, value in fields.items() if name.startswith("v:")]
    message = build_message(request, "mailgun", message_id, to, fields, variables[0] if variables else None)
    return ParsedRequest("mailgun", to, HttpResponse(200, {"id": message_id, "message": "Queued. Thank you."}), message)


def _parse_mailgun_events(request: Request, domain: str, store: Store, page: str | None) -> ParsedRequest:
    if not request.headers.get("authorization", "").startswith("Basic "):
        return ParsedRequest("mailgun", "", HttpResponse(401, "Forbidden"), call="look_up")
    return _build_look_up(
        "mailgun", request.query.get("recipient"), look_ups.build_events_listing(request, domain, store, page)
    )


def _parse_telnyx_records(request: Request, store: Store) -> ParsedRequest:
    if not request.headers.get("authorization", "").startswith("Bearer "):
        error = build_telnyx_error("10009", "Authentication failed")
        return ParsedRequest("telnyx", "", HttpResponse(401, error), call="look_up")
    if request.query.get("filter[record_type]") != "messaging":
        error = build_telnyx_error("10015", "filter[record_type] must be messaging")
        return ParsedRequest("telnyx", "", HttpResponse(400, error), call="look_up")
    return _build_look_up("telnyx", request.query.get("filter[cld]"), look_ups.build_records_listing(request, store))


def _build_look_up(provider: str, to: str | None, listing: look_ups.Listing) -> ParsedRequest:
    return ParsedRequest(provider, to or "", listing.list_all(), call="look_up", listing=listing)


def _parse_telnyx_send(request: Request) -> ParsedRequest:
    body = request.json()
    to = str(body.get("to") or "")
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return ParsedRequest("telnyx", to, HttpResponse(401, build_telnyx_error("10009", "Authentication failed")))
    if not to.startswith("+"):
        return ParsedRequest("telnyx", to, HttpResponse(400, build_telnyx_error("40310", "Invalid 'to' address")))
    if not body.get("text"):
        return ParsedRequest("telnyx", to, HttpResponse(422, build_telnyx_error("40316", "No content provided")))
    if not (body.get("from") or body.get("messaging_profile_id")):
        return ParsedRequest("telnyx", to, HttpResponse(422, build_telnyx_error("40305", "Invalid 'from' address")))
    if sms_text.measure(str(body["text"])).segments > sms_text.MAX_SEGMENTS:
        return ParsedRequest("telnyx", to, HttpResponse(422, build_telnyx_error("40302", "Message too large")))
    message = build_message(request, "telnyx", str(uuid.uuid4()), to, body)
    return ParsedRequest("telnyx", to, HttpResponse(200, {"data": build_telnyx_message(message, "queued")}), message)


def build_telnyx_error(code: str, title: str) -> dict[str, Any]:
    """Build an error in Telnyx's format."""
    return {"errors": [{"code": code, "title": title}]}


def build_telnyx_message(message: Message, status: str) -> dict[str, Any]:
    """Build an outbound message in Telnyx's format."""
    text = str(message.body.get("text", ""))
    length = sms_text.measure(text)
    return {
        "id": message.id,
        "record_type": "message",
        "direction": "outbound",
        "type": "SMS",
        "from": {"phone_number": str(message.body.get("from") or "+15550001111")},
        "to": [{"phone_number": message.to, "status": status, "carrier": "SANDBOX", "line_type": "Wireless"}],
        "text": text,
        "parts": length.segments,
        "cost": {"amount": "0.0000", "currency": "USD"},
        "encoding": length.encoding,
        "errors": [],
        "wait_seconds": 0.0,
    }


def _parse_gemini_request(request: Request, model: str) -> ParsedRequest:
    body = request.json()
    if not request.headers.get("x-goog-api-key"):
        response = HttpResponse(
            403, build_gemini_error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        )
        return ParsedRequest("gemini", model, response)
    prompt = generated_texts.extract_prompt(body)
    if not prompt:
        return ParsedRequest(
            "gemini", model, HttpResponse(400, build_gemini_error(400, "INVALID_ARGUMENT", "contents are required"))
        )
    message = build_message(request, "gemini", uuid.uuid4().hex, model, body)
    return ParsedRequest(
        "gemini", model, HttpResponse(200, generated_texts.build_gemini_response(prompt, model, message.id)), message
    )


def build_gemini_error(code: int, status: str, text: str, details: list[Any] | None = None) -> dict[str, Any]:
    """Build an error in Google's format."""
    return {"error": {"code": code, "message": text, "status": status, "details": details or []}}


def _parse_openai_request(request: Request) -> ParsedRequest:
    body = request.json()
    model, turns = str(body.get("model") or ""), body.get("messages")
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return ParsedRequest(
            "openai", model, HttpResponse(401, build_openai_error("invalid_api_key", "You didn't provide an API key."))
        )
    prompt = generated_texts.extract_last_turn(turns)
    if not model or not prompt:
        return ParsedRequest(
            "openai", model, HttpResponse(400, build_openai_error("invalid_request_error", "messages are required"))
        )
    message = build_message(request, "openai", f"chatcmpl-{uuid.uuid4().hex}", model, body)
    return ParsedRequest(
        "openai", model, HttpResponse(200, generated_texts.build_openai_response(prompt, model, message.id)), message
    )


def build_openai_error(code: str, text: str) -> dict[str, Any]:
    """Build an error in OpenAI's format."""
    return {"error": {"message": text, "type": code, "param": None, "code": code}}


def _parse_slack_post(request: Request) -> ParsedRequest:
    body = request.json()
    if not (body.get("text") or body.get("blocks")):
        return ParsedRequest("slack", "slack", HttpResponse(400, "no_text" if body else "invalid_payload"))
    return ParsedRequest(
        "slack", "slack", HttpResponse(200, "ok"), build_message(request, "slack", uuid.uuid4().hex, "slack", body)
    )


def _parse_discord_post(request: Request, channel: str) -> ParsedRequest:
    body = request.json()
    if not 0 < len(str(body.get("content") or "")) <= 2000:
        return ParsedRequest("discord", "discord", HttpResponse(400, {"message": "Invalid Form Body", "code": 50035}))
    message_id = str(secrets.randbits(62))
    message = build_message(request, "discord", message_id, "discord", body)
    response_body = {"id": message_id, "channel_id": channel, "content": body["content"], "type": 0}
    wait = request.query.get("wait") == "true"
    return ParsedRequest("discord", "discord", HttpResponse(200, response_body) if wait else HttpResponse(204), message)


def _parse_webhook_post(request: Request, url: str) -> ParsedRequest:
    body = request.json() or request.body.decode("utf-8", "replace")
    message_id = request.headers.get("webhook-id") or uuid.uuid4().hex
    return ParsedRequest(
        "webhook", url, HttpResponse(200, {"ok": True}), build_message(request, "webhook", message_id, url, body)
    )
