"""Builds Meta's events about people: they reply to, read or react to a message, or initiate something themselves.

A message to a comment has no person's id: the comment's author is known if the sandbox played the comment, or comes
from `from`. A reply contains the id of the message that it answers, as with Meta.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.store import META, Message, now

#: Events that need no accepted message.
CONTACT_EVENTS = ("comment", "message", "story_reply", "postback")


def build_message_event(message: Message, event: str, params: Mapping[str, Any], person: str) -> dict[str, Any]:
    """Build the webhook body for an event of a message. Raises `ValueError` if its provider has no such event."""
    account = message.path.split("/")[2]
    text = str(params.get("text") or "")
    if not message.path.endswith("/messages"):
        raise ValueError("Meta has no events for a public reply to a comment")
    part: dict[str, Any]
    match event:
        case "replied" | "complained" | "unsubscribed":
            reply = text if event == "replied" else text or "STOP"
            part = {
                "message": {
                    "mid": _generate_mid(),
                    "text": reply,
                    "reply_to": {"mid": message.id},
                    **_build_quick_reply(params),
                }
            }
        case "postback":
            part = {"postback": _build_postback(params, text)}
        case "reacted":
            part = {"reaction": {"mid": message.id, "action": "react", "emoji": text or "❤️"}}
        case "read":
            part = {"read": {"mid": message.id, "watermark": _get_timestamp_ms()}}
        case "delivered" if message.provider == "facebook":
            part = {"delivery": {"mids": [message.id], "watermark": _get_timestamp_ms()}}
        case "echo":
            return _build_messaging(message.provider, account, account, person, {"message": _build_echo(message)})
        case _:
            raise ValueError(f"{message.provider} has no event {event}")
    return _build_messaging(message.provider, account, person, account, part)


def build_contact_event(event: str, params: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return channel and webhook body of an event that a person initiates. Raises `ValueError` for missing fields."""
    channel, account, person = (str(params.get(name) or "") for name in ("provider", "account", "from"))
    if event not in CONTACT_EVENTS:
        raise ValueError(f"without messageId, event must be one of {', '.join(CONTACT_EVENTS)}")
    if channel not in META or not account or not person:
        raise ValueError("without messageId, provider (instagram or facebook), account and from are required")
    text = str(params.get("text") or "")
    if event == "comment":
        return channel, _build_comment(channel, account, person, text, params)
    if event == "postback":
        return channel, _build_messaging(channel, account, person, account, {"postback": _build_postback(params, text)})
    message: dict[str, Any] = {"mid": _generate_mid(), "text": text, **_build_quick_reply(params)}
    if event == "story_reply":
        message["reply_to"] = {
            "story": {"id": str(params.get("storyId") or "1785"), "url": "https://cdn.example/story"}
        }
    return channel, _build_messaging(channel, account, person, account, {"message": message})


def extract_comment(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the id and the author's id of a body's comment, or None without a comment."""
    changes = body["entry"][0].get("changes")
    if not changes:
        return None
    value = changes[0]["value"]
    return str(value.get("comment_id") or value["id"]), str(value["from"]["id"])


def _build_comment(channel: str, account: str, person: str, text: str, params: Mapping[str, Any]) -> dict[str, Any]:
    comment_id = str(params.get("commentId") or f"1789{secrets.randbits(40)}")
    post = str(params.get("postId") or "1791")
    if channel == "instagram":
        author = {"id": person, "username": f"person_{person}"}
        value: dict[str, Any] = {"id": comment_id, "from": author, "text": text, "media": {"id": post}}
        return _build_entry(channel, account, changes=[{"field": "comments", "value": value}])
    value = {"item": "comment", "verb": "add", "comment_id": comment_id, "post_id": post, "message": text,
             "from": {"id": person, "name": f"Person {person}"}, "created_time": int(now().timestamp())}  # fmt: skip
    return _build_entry(channel, account, changes=[{"field": "feed", "value": value}])


def _build_echo(message: Message) -> dict[str, Any]:
    sent = message.body.get("message") or {}
    content = {name: sent[name] for name in ("text", "metadata", "attachment") if name in sent}
    if "attachment" in content:
        content["attachments"] = [content.pop("attachment")]
    return {"mid": message.id, "is_echo": True, **content}


def _build_postback(params: Mapping[str, Any], text: str) -> dict[str, str]:
    return {"mid": _generate_mid(), "title": text, "payload": str(params.get("payload") or text)}


def _build_quick_reply(params: Mapping[str, Any]) -> dict[str, Any]:
    return {"quick_reply": {"payload": str(params["payload"])}} if params.get("payload") else {}


def _build_messaging(
    channel: str, account: str, sender: str, recipient: str, part: Mapping[str, Any]
) -> dict[str, Any]:
    event = {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": _get_timestamp_ms(), **part}
    return _build_entry(channel, account, messaging=[event])


def _build_entry(channel: str, account: str, **content: Any) -> dict[str, Any]:
    kind = "instagram" if channel == "instagram" else "page"
    return {"object": kind, "entry": [{"id": account, "time": _get_timestamp_ms(), **content}]}


def _generate_mid() -> str:
    return f"m_{secrets.token_urlsafe(24)}"


def _get_timestamp_ms() -> int:
    return int(now().timestamp() * 1000)
