"""How the sandbox speaks Meta's Graph API: direct messages, private and public replies to comments, and profiles.

Messages are Instagram's where the sending account's id begins as Instagram's do, else Facebook's; public replies are
told apart by their path. One comment takes one private reply, as with Meta. The window of 24 hours is not kept here:
ask for the fault `refused` with Meta's code to see it closed.

Whether a person follows the account goes by the id: one that ends in an odd digit follows, one that ends in an even
digit does not, and any other has not consented to be asked about.
"""

from __future__ import annotations

import secrets
from typing import Any

from sandbox.exchange import Answer, Asked
from sandbox.heard import Heard, kept
from sandbox.memory import Memory

#: Instagram's account ids begin so; everything else is a page.
_INSTAGRAM_PREFIX = "178"
_ALREADY_REPLIED = 2534025
_REPLIES = {"replies": "instagram", "comments": "facebook"}


def hear(asked: Asked, memory: Memory) -> Heard | None:
    """Read a request to the Graph API; None where it is none."""
    match (asked.method, *asked.segments):
        case ("POST", version, sender, "messages") if _is_version(version):
            return _send(asked, sender, memory)
        case ("POST", version, comment, "replies" | "comments" as edge) if _is_version(version):
            return _reply(asked, comment, _REPLIES[edge])
        case ("GET", version, person) if _is_version(version):
            return _profile(asked, person)
    return None


def _is_version(segment: str) -> bool:
    return segment.startswith("v") and segment[1:2].isdigit() and "." in segment


def _send(asked: Asked, sender: str, memory: Memory) -> Heard:
    body = asked.json()
    found = body.get("recipient")
    recipient = found if isinstance(found, dict) else {}
    comment = str(recipient.get("comment_id") or recipient.get("post_id") or "")
    to = comment or str(recipient.get("id") or "")
    provider = "instagram" if sender.startswith(_INSTAGRAM_PREFIX) else "facebook"
    message = body.get("message")
    if refused := _unauthorized(asked, provider, to):
        return refused
    if not to or not isinstance(message, dict) or not (message.get("text") or message.get("attachment")):
        return Heard(provider, to, Answer(400, meta_error(100, "(#100) Param recipient and message are required")))
    text = message.get("text")
    if provider == "instagram" and isinstance(text, str) and len(text.encode()) > 1000:
        return Heard(provider, to, Answer(400, meta_error(100, "(#100) Length of param message[text] is too long")))
    if comment and _has_private_reply(memory, provider, comment):
        return Heard(
            provider, to, Answer(400, meta_error(100, "The comment was already replied to.", _ALREADY_REPLIED))
        )
    message_id = f"m_{secrets.token_urlsafe(24)}"
    answer = Answer(200, {"recipient_id": to, "message_id": message_id})
    key = message.get("metadata")
    return Heard(provider, to, answer, kept(asked, provider, message_id, to, body, key if key else None))


def _has_private_reply(memory: Memory, provider: str, comment: str) -> bool:
    return any(
        one.provider == provider and one.to == comment and one.path.endswith("/messages")
        for one in list(memory.messages)
    )


def _reply(asked: Asked, comment: str, provider: str) -> Heard:
    body = asked.json()
    if refused := _unauthorized(asked, provider, comment):
        return refused
    if not body.get("message"):
        return Heard(provider, comment, Answer(400, meta_error(100, "(#100) Param message is required")))
    reply_id = f"1784{secrets.randbits(40)}"
    return Heard(provider, comment, Answer(200, {"id": reply_id}), kept(asked, provider, reply_id, comment, body))


def _profile(asked: Asked, person: str) -> Heard:
    if refused := _unauthorized(asked, "instagram", person, call="look_up"):
        return refused
    if not person[-1:].isdigit():
        refusal = meta_error(230, "(#230) User consent is required to access user profile")
        return Heard("instagram", person, Answer(400, refusal), call="look_up")
    profile = {"id": person, "username": f"person_{person}", "is_user_follow_business": int(person[-1]) % 2 == 1}
    return Heard("instagram", person, Answer(200, profile), call="look_up")


def _unauthorized(asked: Asked, provider: str, to: str, call: str = "send") -> Heard | None:
    if asked.headers.get("authorization", "").startswith("Bearer "):
        return None
    return Heard(provider, to, Answer(401, meta_error(190, "Invalid OAuth access token.")), call=call)


def meta_error(code: int, text: str, subcode: int | None = None) -> dict[str, Any]:
    """An error in Meta's form."""
    error: dict[str, Any] = {"message": text, "type": "OAuthException", "code": code, "fbtrace_id": "SANDBOX"}
    return {"error": {**error, "error_subcode": subcode} if subcode else error}
