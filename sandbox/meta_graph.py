"""Imitates Meta's Graph API: direct messages, private and public replies to comments, and profiles.

A message is Instagram's if the id of the sending account has Instagram's prefix, else Facebook's; public replies are
distinguished by their path. A comment accepts one private reply, as with Meta. The 24-hour window is not imitated: use
the fault `refused` with Meta's code for a closed window.

The person's id decides whether the person follows the account: an odd last digit follows, an even one does not, and
any other character means that the person has not consented to the check.
"""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.http import HttpResponse, Request
from sandbox.parsed_request import ParsedRequest, build_message
from sandbox.store import Store

#: Prefix of Instagram's account ids; all other ids are pages.
_INSTAGRAM_PREFIX = "178"
_ALREADY_REPLIED = 2534025
_REPLIES = {"replies": "instagram", "comments": "facebook"}


def parse_request(request: Request, store: Store) -> ParsedRequest | None:
    """Parse a request to the Graph API; None if it is not one."""
    match (request.method, *request.segments):
        case ("POST", version, sender, "messages") if _is_version(version):
            return _parse_send(request, sender, store)
        case ("POST", version, comment, "replies" | "comments" as edge) if _is_version(version):
            return _parse_comment_reply(request, comment, _REPLIES[edge])
        case ("GET", version, "me") if _is_version(version):
            return _parse_page_request(request)
        case ("GET", version, person) if _is_version(version):
            return _parse_profile_request(request, person)
    return None


def _is_version(segment: str) -> bool:
    return segment.startswith("v") and segment[1:2].isdigit() and "." in segment


def _parse_send(request: Request, sender: str, store: Store) -> ParsedRequest:
    body = request.json()
    raw_recipient = body.get("recipient")
    recipient = raw_recipient if isinstance(raw_recipient, dict) else {}
    comment = str(recipient.get("comment_id") or recipient.get("post_id") or "")
    to = comment or str(recipient.get("id") or "")
    provider = "instagram" if sender.startswith(_INSTAGRAM_PREFIX) else "facebook"
    message = body.get("message")
    if rejection := _check_authorization(request, provider, to):
        return rejection
    if not to or not isinstance(message, dict) or not (message.get("text") or message.get("attachment")):
        return ParsedRequest(
            provider, to, HttpResponse(400, build_meta_error(100, "(#100) Param recipient and message are required"))
        )
    text = message.get("text")
    if provider == "instagram" and isinstance(text, str) and len(text.encode()) > 1000:
        return ParsedRequest(
            provider, to, HttpResponse(400, build_meta_error(100, "(#100) Length of param message[text] is too long"))
        )
    if comment and _has_private_reply(store, provider, comment):
        return ParsedRequest(
            provider,
            to,
            HttpResponse(400, build_meta_error(100, "The comment was already replied to.", _ALREADY_REPLIED)),
        )
    message_id = f"m_{secrets.token_urlsafe(24)}"
    response = HttpResponse(200, {"recipient_id": to, "message_id": message_id})
    key = message.get("metadata")
    return ParsedRequest(
        provider, to, response, build_message(request, provider, message_id, to, body, key if key else None)
    )


def _has_private_reply(store: Store, provider: str, comment: str) -> bool:
    return any(
        message.provider == provider and message.to == comment and message.path.endswith("/messages")
        for message in list(store.messages)
    )


def _parse_comment_reply(request: Request, comment: str, provider: str) -> ParsedRequest:
    body = request.json()
    if rejection := _check_authorization(request, provider, comment):
        return rejection
    if not body.get("message"):
        return ParsedRequest(
            provider, comment, HttpResponse(400, build_meta_error(100, "(#100) Param message is required"))
        )
    reply_id = f"1784{secrets.randbits(40)}"
    return ParsedRequest(
        provider,
        comment,
        HttpResponse(200, {"id": reply_id}),
        build_message(request, provider, reply_id, comment, body),
    )


def _parse_page_request(request: Request) -> ParsedRequest:
    if rejection := _check_authorization(request, "facebook", "me", call="look_up"):
        return rejection
    page = {"id": "100000000000001", "name": "Sandbox page"}
    return ParsedRequest("facebook", "me", HttpResponse(200, page), call="look_up")


def _parse_profile_request(request: Request, person: str) -> ParsedRequest:
    if rejection := _check_authorization(request, "instagram", person, call="look_up"):
        return rejection
    if not person[-1:].isdigit():
        error = build_meta_error(230, "(#230) User consent is required to access user profile")
        return ParsedRequest("instagram", person, HttpResponse(400, error), call="look_up")
    profile = {"id": person, "username": f"person_{person}", "is_user_follow_business": int(person[-1]) % 2 == 1}
    return ParsedRequest("instagram", person, HttpResponse(200, profile), call="look_up")


def _check_authorization(request: Request, provider: str, to: str, call: str = "send") -> ParsedRequest | None:
    if request.headers.get("authorization", "").startswith("Bearer "):
        return None
    return ParsedRequest(
        provider, to, HttpResponse(401, build_meta_error(190, "Invalid OAuth access token.")), call=call
    )


def build_meta_error(code: int, text: str, subcode: int | None = None) -> dict[str, Any]:
    """Build an error in Meta's format."""
    error: dict[str, Any] = {"message": text, "type": "OAuthException", "code": code, "fbtrace_id": "SANDBOX"}
    return {"error": {**error, "error_subcode": subcode} if subcode else error}
