"""What Meta would tell of people, in its form: that they answer, read or react to a message, or begin something.

A message that went to a comment has no person's id: who wrote the comment is known where the sandbox played it, or is
said with `from`. An answer names the message that it answers, as Meta does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.memory import META, Message, now

#: Of a message that was accepted; the others need no message.
OF_A_MESSAGE = ("replied", "read", "delivered", "echo", "complained", "unsubscribed", "reacted")
OUT_OF_THE_BLUE = ("comment", "message", "story_reply", "postback")


def about(message: Message, event: str, given: Mapping[str, Any], person: str) -> dict[str, Any]:
    """The webhook's body for an event of a message; `ValueError` where its provider has no such event."""
    account = message.path.split("/")[2]
    text = str(given.get("text") or "")
    if not message.path.endswith("/messages"):
        raise ValueError("nothing becomes of a public reply to a comment that Meta would tell")
    part: dict[str, Any]
    match event:
        case "replied" | "complained" | "unsubscribed":
            said = text if event == "replied" else text or "STOP"
            part = {"message": {"mid": _mid(), "text": said, "reply_to": {"mid": message.id}, **_quick_reply(given)}}
        case "postback":
            part = {"postback": _postback(given, text)}
        case "reacted":
            part = {"reaction": {"mid": message.id, "action": "react", "emoji": text or "❤️"}}
        case "read":
            part = {"read": {"mid": message.id, "watermark": _millis()}}
        case "delivered" if message.provider == "facebook":
            part = {"delivery": {"mids": [message.id], "watermark": _millis()}}
        case "echo":
            return _messaging(message.provider, account, account, person, {"message": _echo(message)})
        case _:
            raise ValueError(f"{message.provider} has no event {event}")
    return _messaging(message.provider, account, person, account, part)


def out_of_the_blue(event: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Channel and body of a webhook about something that a person begins; `ValueError` says what is missing."""
    channel, account, person = (str(given.get(name) or "") for name in ("provider", "account", "from"))
    if event not in OUT_OF_THE_BLUE:
        raise ValueError(f"without messageId, event must be one of {', '.join(OUT_OF_THE_BLUE)}")
    if channel not in META or not account or not person:
        raise ValueError("without messageId, say provider (instagram or facebook), account and from")
    text = str(given.get("text") or "")
    if event == "comment":
        return channel, _comment(channel, account, person, text, given)
    if event == "postback":
        return channel, _messaging(channel, account, person, account, {"postback": _postback(given, text)})
    message: dict[str, Any] = {"mid": _mid(), "text": text, **_quick_reply(given)}
    if event == "story_reply":
        message["reply_to"] = {"story": {"id": str(given.get("storyId") or "1785"), "url": "https://cdn.example/story"}}
    return channel, _messaging(channel, account, person, account, {"message": message})


def comment_of(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """The comment that a body tells of, with the person who wrote it."""
    changes = body["entry"][0].get("changes")
    if not changes:
        return None
    value = changes[0]["value"]
    return str(value.get("comment_id") or value["id"]), str(value["from"]["id"])


def _comment(channel: str, account: str, person: str, text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    comment_id = str(given.get("commentId") or f"1789{secrets.randbits(40)}")
    post = str(given.get("postId") or "1791")
    if channel == "instagram":
        writer = {"id": person, "username": f"person_{person}"}
        value: dict[str, Any] = {"id": comment_id, "from": writer, "text": text, "media": {"id": post}}
        return _entry(channel, account, changes=[{"field": "comments", "value": value}])
    value = {"item": "comment", "verb": "add", "comment_id": comment_id, "post_id": post, "message": text,
             "from": {"id": person, "name": f"Person {person}"}, "created_time": int(now().timestamp())}  # fmt: skip
    return _entry(channel, account, changes=[{"field": "feed", "value": value}])


def _echo(message: Message) -> dict[str, Any]:
    sent = message.body.get("message") or {}
    kept = {name: sent[name] for name in ("text", "metadata", "attachment") if name in sent}
    if "attachment" in kept:
        kept["attachments"] = [kept.pop("attachment")]
    return {"mid": message.id, "is_echo": True, **kept}


def _postback(given: Mapping[str, Any], text: str) -> dict[str, str]:
    return {"mid": _mid(), "title": text, "payload": str(given.get("payload") or text)}


def _quick_reply(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"quick_reply": {"payload": str(given["payload"])}} if given.get("payload") else {}


def _messaging(channel: str, account: str, sender: str, recipient: str, part: Mapping[str, Any]) -> dict[str, Any]:
    told = {"sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": _millis(), **part}
    return _entry(channel, account, messaging=[told])


def _entry(channel: str, account: str, **told: Any) -> dict[str, Any]:
    kind = "instagram" if channel == "instagram" else "page"
    return {"object": kind, "entry": [{"id": account, "time": _millis(), **told}]}


def _mid() -> str:
    return f"m_{secrets.token_urlsafe(24)}"


def _millis() -> int:
    return int(now().timestamp() * 1000)
