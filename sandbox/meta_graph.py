"""Imitates Meta's Graph API: direct messages, private and public replies to comments, and profiles.

A message is Instagram's if the id of the sending account has Instagram's prefix, else Facebook's; public replies are
distinguished by their path. A comment accepts one private reply, as with Meta. The 24-hour window is not imitated: use
the fault `refused` with Meta's code for a closed window. What a message may contain is checked in
`sandbox.meta_messages`.

Parameters are JSON, a form or the query, and the token is a header or the parameter `access_token`: Meta's own SDK
sends a form, with objects as JSON.

The person's id decides whether the person follows the account: an odd last digit follows, an even one does not, and
any other character means that the person has not consented to the check.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from rules.json_text import load_json
from sandbox.forms import flatten, parse_form
from sandbox.http import HttpResponse, Request
from sandbox.meta_messages import extract_recipient, find_problem
from sandbox.parsed_request import ParsedRequest, build_message
from sandbox.store import Store

#: Prefix of Instagram's account ids; all other ids are pages.
_INSTAGRAM_PREFIX = "178"
_ALREADY_REPLIED = 2534025
_REPLIES = {"replies": "instagram", "comments": "facebook"}
_TOKEN = re.compile(r"[A-Za-z0-9|._-]+")

_WINDOW = "This message is sent outside of allowed window."
#: Meta's errors with a status, a type or a text of their own, by code and subcode.
_ERRORS: dict[tuple[int, int | None], tuple[int, str, str]] = {
    (4, None): (403, "OAuthException", "(#4) Application request limit reached"),
    (10, 2018278): (400, "OAuthException", f"(#10) {_WINDOW}"),
    (10, 2534022): (403, "IGApiException", _WINDOW),
    (32, None): (403, "OAuthException", "(#32) Page request limit reached"),
    (100, 2534014): (400, "OAuthException", "(#100) The requested user cannot be found."),
    (100, _ALREADY_REPLIED): (400, "OAuthException", "The comment was already replied to."),
    (190, 463): (400, "OAuthException", "Error validating access token: the session has expired."),
    (200, None): (403, "OAuthException", "(#200) Permissions error"),
    (230, None): (400, "OAuthException", "(#230) User consent is required to access user profile"),
    (551, 1545041): (400, "OAuthException", "(#551) This person isn't available right now."),
    (613, None): (400, "OAuthException", "(#613) Calls to this api have exceeded the rate limit."),
}


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


def _read_params(request: Request) -> dict[str, Any]:
    """Return the parameters of the query and the body, without the token."""
    body = request.json() if request.is_json_object else flatten(parse_form(request))
    params = {**request.query, **body}
    return {name: _decode(value) for name, value in params.items() if name != "access_token"}


def _decode(value: Any) -> Any:
    """Decode an object or list that a form or the query has as JSON."""
    if not isinstance(value, str) or value[:1] not in ("{", "["):
        return value
    try:
        return load_json(value)
    except ValueError:
        return value


def _parse_send(request: Request, sender: str, store: Store) -> ParsedRequest:
    params = _read_params(request)
    to, is_comment = extract_recipient(params)
    provider = "instagram" if sender.startswith(_INSTAGRAM_PREFIX) else "facebook"
    if rejection := _check_authorization(request, provider, to):
        return rejection
    if problem := find_problem(provider, params):
        return ParsedRequest(provider, to, HttpResponse(400, build_meta_error(100, f"(#100) {problem}")))
    if is_comment and _has_private_reply(store, provider, to):
        return ParsedRequest(provider, to, build_meta_error_response(100, _ALREADY_REPLIED))
    if "message" not in params:
        return ParsedRequest(provider, to, HttpResponse(200, {"recipient_id": to}))
    message_id = f"m_{secrets.token_urlsafe(24)}"
    response = HttpResponse(200, {"recipient_id": to, "message_id": message_id})
    key = params["message"].get("metadata") or None
    return ParsedRequest(provider, to, response, build_message(request, provider, message_id, to, params, key))


def _has_private_reply(store: Store, provider: str, comment: str) -> bool:
    return any(
        message.provider == provider and message.to == comment and message.path.endswith("/messages")
        for message in list(store.messages)
    )


def _parse_comment_reply(request: Request, comment: str, provider: str) -> ParsedRequest:
    params = _read_params(request)
    if rejection := _check_authorization(request, provider, comment):
        return rejection
    if not isinstance(params.get("message"), str) or not params["message"].strip():
        error = build_meta_error(100, "(#100) The parameter message is required")
        return ParsedRequest(provider, comment, HttpResponse(400, error))
    reply_id = f"1784{secrets.randbits(40)}"
    message = build_message(request, provider, reply_id, comment, params)
    return ParsedRequest(provider, comment, HttpResponse(200, {"id": reply_id}), message)


def _parse_page_request(request: Request) -> ParsedRequest:
    if rejection := _check_authorization(request, "facebook", "me", call="look_up"):
        return rejection
    page = {"id": "100000000000001", "name": "Sandbox page"}
    return ParsedRequest("facebook", "me", HttpResponse(200, page), call="look_up")


def _parse_profile_request(request: Request, person: str) -> ParsedRequest:
    if rejection := _check_authorization(request, "instagram", person, call="look_up"):
        return rejection
    if not person[-1:].isdigit():
        return ParsedRequest("instagram", person, build_meta_error_response(230, None), call="look_up")
    profile = {"id": person, "username": f"person_{person}", "is_user_follow_business": int(person[-1]) % 2 == 1}
    return ParsedRequest("instagram", person, HttpResponse(200, profile), call="look_up")


def _check_authorization(request: Request, provider: str, to: str, call: str = "send") -> ParsedRequest | None:
    token = _find_token(request)
    if token and _TOKEN.fullmatch(token):
        return None
    problem = "Cannot parse access token" if token else "An access token is required to request this resource."
    error = build_meta_error(190, f"Invalid OAuth access token - {problem}")
    challenge = {"WWW-Authenticate": 'OAuth "Facebook Platform" "invalid_token" "Invalid OAuth access token."'}
    return ParsedRequest(provider, to, HttpResponse(401, error, challenge), call=call)


def _find_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme in ("Bearer", "OAuth"):
        return token.strip()
    body = request.json() if request.is_json_object else flatten(parse_form(request))
    return str(request.query.get("access_token") or body.get("access_token") or "")


def build_meta_error(code: int, text: str, subcode: int | None = None, kind: str = "OAuthException") -> dict[str, Any]:
    """Build an error in Meta's format."""
    error: dict[str, Any] = {"message": text, "type": kind, "code": code, "fbtrace_id": "SANDBOX"}
    return {"error": {**error, "error_subcode": subcode} if subcode else error}


def build_meta_error_response(code: int, subcode: int | None) -> HttpResponse:
    """Build an error response of Meta's with this code, with Meta's own status and text where they are documented."""
    default = (400, "OAuthException", f"(#{code}) Rejected by a fault of the sandbox.")
    status, kind, text = _ERRORS.get((code, subcode), default)
    return HttpResponse(status, build_meta_error(code, text, subcode, kind))
