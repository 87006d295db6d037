"""Imitates Telnyx: accepts SMS, reads them by id, and refuses what Telnyx refuses.

The refusals are those of its OpenAPI document and of its lists of error codes. Pages: developers.telnyx.com, Send a
message, API error codes, Messaging error codes.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from rules import sms_text
from sandbox import look_ups
from sandbox.http import HttpResponse, Request
from sandbox.parsed_request import ParsedRequest, build_look_up, build_message
from sandbox.store import Message, Store

_MAX_URL_LENGTH = 2_000
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_SHORT_CODE = re.compile(r"\d{3,8}")
_ALPHANUMERIC_SENDER = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
#: The JSON type of the fields of a message that may be left out.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "from": str, "text": str, "messaging_profile_id": str, "subject": str, "media_urls": list, "type": str,
    "encoding": str, "auto_detect": bool, "use_profile_webhooks": bool, "webhook_url": str,
    "webhook_failover_url": str, "send_at": (str, type(None)),
}  # fmt: skip
_CHOICES = {"type": ("SMS", "MMS"), "encoding": ("auto", "gsm7", "ucs2")}


@dataclass(frozen=True)
class _Problem:
    code: str
    title: str
    field: str | None = None
    status: int = 400
    detail: str = ""

    def build_response(self) -> HttpResponse:
        return HttpResponse(self.status, build_telnyx_error(self.code, self.title, self.field, self.detail))


def parse_send(request: Request) -> ParsedRequest:
    """Parse `POST /v2/messages`."""
    body = request.json()
    to = body.get("to")
    recipient = to if isinstance(to, str) else ""
    if not _has_key(request):
        return ParsedRequest("telnyx", recipient, _build_auth_error())
    problem = next(_find_problems(request, body), None)
    if problem is not None:
        return ParsedRequest("telnyx", recipient, problem.build_response())
    message = build_message(request, "telnyx", str(uuid.uuid4()), recipient, body)
    response = HttpResponse(200, {"data": build_telnyx_message(message, "queued")})
    return ParsedRequest("telnyx", recipient, response, message)


def parse_retrieval(request: Request, message_id: str, store: Store) -> ParsedRequest:
    """Parse `GET /v2/messages/{id}`."""
    message = store.find_message(message_id)
    if not _has_key(request):
        response = _build_auth_error()
    elif message is None or message.provider != "telnyx":
        response = HttpResponse(404, build_telnyx_error("10005", "Resource not found"))
    else:
        response = HttpResponse(200, {"data": build_telnyx_message(message, "sent")})
    return ParsedRequest("telnyx", message.to if message else "", response, call="look_up")


def parse_records(request: Request, store: Store) -> ParsedRequest:
    """Parse `GET /v2/detail_records`."""
    if not _has_key(request):
        return ParsedRequest("telnyx", "", _build_auth_error(), call="look_up")
    if request.query.get("filter[record_type]") != "messaging":
        error = build_telnyx_error("10015", "filter[record_type] must be messaging")
        return ParsedRequest("telnyx", "", HttpResponse(400, error), call="look_up")
    return build_look_up("telnyx", request.query.get("filter[cld]"), look_ups.build_records_listing(request, store))


def _has_key(request: Request) -> bool:
    return bool(re.match(r"Bearer \S", request.headers.get("authorization", "")))


def _build_auth_error() -> HttpResponse:
    return HttpResponse(401, build_telnyx_error("10009", "Authentication failed"))


def _find_problems(request: Request, body: dict[str, Any]) -> Iterator[_Problem]:
    if request.media_type not in ("application/json", ""):
        yield _Problem("10014", "Unsupported Media Type", status=415)
    if not request.is_json_object:
        yield _Problem("10015", "Bad Request", detail="The request failed because it was not well-formed.")
    if body.get("to") in (None, ""):
        yield _Problem("10004", "Missing required parameter", "to")
    if not isinstance(body["to"], str) or not _E164.fullmatch(body["to"]):
        yield _Problem("40310", "Invalid 'to' address", "to")
    yield from _find_type_problems(body)
    yield from _find_sender_problems(body)
    yield from _find_content_problems(body)
    for name in ("webhook_url", "webhook_failover_url"):
        if not _is_url(body.get(name, "https://example.com/")):
            yield _Problem("10003", "Invalid URL", name)
    if not _is_time(body.get("send_at")):
        yield _Problem("10015", "Bad Request", "send_at", detail="send_at must be an ISO 8601 date.")


def _find_type_problems(body: dict[str, Any]) -> Iterator[_Problem]:
    for name, expected in _TYPES.items():
        if name in body and not isinstance(body[name], expected):
            yield _Problem("10015", "Bad Request", name, detail=f"{name} has the wrong type.")
    for name, choices in _CHOICES.items():
        if name in body and body[name] not in choices:
            yield _Problem("10015", "Bad Request", name, detail=f"{name} must be one of {', '.join(choices)}.")


def _find_sender_problems(body: dict[str, Any]) -> Iterator[_Problem]:
    sender, profile = body.get("from"), body.get("messaging_profile_id")
    if not (sender or profile) or not _is_sender(sender or "", profile or ""):
        yield _Problem("40305", "Invalid 'from' address", "from", 422)


def _is_sender(sender: str, profile: str) -> bool:
    """Whether the number, short code or name may send; a name needs a profile, which also has numbers of its own."""
    is_number = bool(_E164.fullmatch(sender) or _SHORT_CODE.fullmatch(sender))
    return is_number or bool(profile and (not sender or _ALPHANUMERIC_SENDER.fullmatch(sender)))


def _find_content_problems(body: dict[str, Any]) -> Iterator[_Problem]:
    text, media = body.get("text") or "", body.get("media_urls")
    if body.get("type") == "MMS" and not media:
        yield _Problem("40316", "No content provided", "media_urls", 422)
    if not text and not media:
        yield _Problem("40316", "No content provided", "text", 422)
    length = sms_text.measure(text)
    if length.segments > sms_text.MAX_SEGMENTS:
        yield _Problem("40302", "Message too large", "text", 422)
    if body.get("encoding") == "gsm7" and length.encoding != "GSM-7":
        yield _Problem("40009", "Invalid message body", "text")


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and len(text) <= _MAX_URL_LENGTH


def _is_time(text: str | None) -> bool:
    try:
        datetime.fromisoformat(text or "1970-01-01")
    except ValueError:
        return False
    return True


def build_telnyx_error(code: str, title: str, field: str | None = None, detail: str = "") -> dict[str, Any]:
    """Build an error in Telnyx's format; `field` is the field of the body that is wrong."""
    error: dict[str, Any] = {"code": code, "title": title}
    if detail:
        error["detail"] = detail
    if field:
        error["source"] = {"pointer": f"/{field}"}
    url = f"https://developers.telnyx.com/docs/overview/errors/{code}"
    return {"errors": [{**error, "meta": {"url": url}}]}


def build_telnyx_message(message: Message, status: str) -> dict[str, Any]:
    """Build an outbound message in Telnyx's format."""
    text = str(message.body.get("text", ""))
    length = sms_text.measure(text)
    optional = ("messaging_profile_id", "webhook_url", "webhook_failover_url", "subject")
    return {
        "id": message.id,
        "record_type": "message",
        "direction": "outbound",
        "type": str(message.body.get("type") or "SMS"),
        "from": {"phone_number": str(message.body.get("from") or "+15550001111")},
        "to": [{"phone_number": message.to, "status": status, "carrier": "SANDBOX", "line_type": "Wireless"}],
        "cc": [],
        "text": text,
        "media": [],
        "parts": length.segments,
        "cost": {"amount": "0.0000", "currency": "USD"},
        "encoding": length.encoding,
        "errors": [],
        "tags": [],
        "received_at": message.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sent_at": None,
        "completed_at": None,
        "valid_until": None,
        "wait_seconds": 0.0,
        **{name: message.body[name] for name in optional if message.body.get(name)},
    }
