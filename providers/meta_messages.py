"""Reads one messaging event of Meta: what a person said, and what became of what we said.

Instagram's and Messenger's events have one form, with small differences: a postback on Messenger may have no id, a
read receipt names a message on Instagram and a moment on Messenger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers.base import Callback, Kind, asks_to_stop
from providers.shapes import at_path, id_at, text_at

#: How much of what a person wrote is passed on, and how many of a message's attachments.
LONGEST_TEXT = 20_000
MOST_ATTACHMENTS = 20


#: How often Instagram lets a message be edited.
MOST_EDITS = 5


def told_of(account: str, mid: str) -> list[str]:
    """The ids of the events that bear the text of a message."""
    edits = [f"{account}:edit:{mid}:{number}" for number in range(1, MOST_EDITS + 1)]
    return [f"{account}:message:{mid}", *edits]


class _Event:
    """One event with what all kinds need of it."""

    def __init__(self, channel: str, account: str, event: Mapping[str, Any], at: datetime) -> None:
        self.channel, self.account, self.event, self.at = channel, account, event, at
        self.sender, self.recipient = id_at(event, "sender", "id"), id_at(event, "recipient", "id")

    def callback(
        self, kind: Kind, event: str, mid: str | None, text: str | None = None, key: str | None = None, **detail: object
    ) -> Callback:
        """The callback about the person at the other end. `event` is the same in every repetition."""
        person = self.recipient if self.sender == self.account else self.sender
        told = {"account": self.account, **detail}
        return Callback(
            provider=self.channel,
            event_id=f"{self.account}:{event}",
            kind=kind,
            provider_message_id=mid,
            message_key=key,
            address=person,
            text=text[:LONGEST_TEXT] if text else None,
            occurred_at=self.at,
            detail={name: found for name, found in told.items() if found not in (None, [], {})},
        )

    @property
    def fingerprint(self) -> str:
        """Names an event that has no id of its own."""
        return hashlib.sha256(json.dumps(self.event, sort_keys=True).encode()).hexdigest()[:32]


def read_messaging(channel: str, account: str, event: Mapping[str, Any], at: datetime) -> Callback | None:
    """The callback of one messaging event, or None where it is of no concern."""
    told = _Event(channel, account, event, at)
    if told.sender is None or told.sender == told.recipient:
        return None
    for name, read in _READERS.items():
        if isinstance(event.get(name), dict):
            return read(told, event[name])
    return None


def _message(told: _Event, message: Mapping[str, Any]) -> Callback | None:
    mid, is_ours = id_at(message, "mid"), told.sender == told.account or message.get("is_echo") is True
    if mid is None or message.get("is_self") is True:
        return None
    if is_ours:
        return None if message.get("is_deleted") is True else _echo(told, message, mid)
    if message.get("is_deleted") is True:
        return told.callback("unsent", f"unsent:{mid}", mid, **{"as": "message"})
    text = text_at(message, "text")
    attachments = _attachments(message)
    is_mention = any(one.get("type") == "story_mention" for one in attachments)
    story = at_path(message, "reply_to", "story")
    as_ = "story_reply" if isinstance(story, dict) else "story_mention" if is_mention else "message"
    return told.callback(
        "unsubscribed" if asks_to_stop(text) else "replied",
        f"message:{mid}",
        mid,
        text,
        **{"as": as_},
        payload=text_at(message, "quick_reply", "payload"),
        story={name: found for name in ("id", "url") if (found := id_at(story, name))},
        answers=id_at(message, "reply_to", "mid"),
        attachments=attachments,
        unsupported=message.get("is_unsupported") is True or None,
    )


def _echo(told: _Event, message: Mapping[str, Any], mid: str) -> Callback:
    """What we said, told back: by us, or by a person in the inbox, which only our key or the id tells apart."""
    said = text_at(message, "text") or text_at(message, "attachments", 0, "payload", "text")
    return told.callback("echo", f"echo:{mid}", mid, said, text_at(message, "metadata"))


def _attachments(message: Mapping[str, Any]) -> list[dict[str, str]]:
    found = message.get("attachments")
    read = [
        {name: text for name, text in (("type", text_at(one, "type")), ("url", text_at(one, "payload", "url"))) if text}
        for one in (found if isinstance(found, list) else [])[:MOST_ATTACHMENTS]
    ]
    return [one for one in read if one]


def _postback(told: _Event, postback: Mapping[str, Any]) -> Callback | None:
    if told.sender == told.account:
        return None
    mid = id_at(postback, "mid") or f"postback:{told.fingerprint}"
    title, payload = text_at(postback, "title"), text_at(postback, "payload")
    return told.callback("replied", f"postback:{mid}", mid, title, payload=payload, **{"as": "postback"})


def _reaction(told: _Event, reaction: Mapping[str, Any]) -> Callback | None:
    mid = id_at(reaction, "mid")
    if mid is None or told.sender == told.account:
        return None
    is_taken_back = text_at(reaction, "action") == "unreact"
    said = text_at(reaction, "emoji") or text_at(reaction, "reaction")
    kind: Kind = "unsent" if is_taken_back else "reacted"
    # A message has one reaction of a person at a time: it is kept under that name.
    name = f"reaction:{mid}:{told.sender}"
    at = int(told.at.timestamp() * 1000)
    return told.callback(kind, f"{name}:{kind}:{at}", name, said, **{"as": "reaction"})


def _read(told: _Event, read: Mapping[str, Any]) -> Callback | None:
    mid, until = id_at(read, "mid"), id_at(read, "watermark")
    if (mid is None and until is None) or told.sender == told.account:
        return None
    return told.callback("read", f"read:{told.sender}:{mid or until}", mid, until=None if mid else until)


def _delivery(told: _Event, delivery: Mapping[str, Any]) -> Callback | None:
    found = delivery.get("mids")
    mids = [one for one in (found if isinstance(found, list) else []) if isinstance(one, str)]
    until = id_at(delivery, "watermark")
    if not mids and until is None:
        return None
    name = f"delivery:{told.sender}:{until}:{told.fingerprint}"
    first = mids[0] if mids else None
    return told.callback("delivered", name, first, mids=mids[1:], until=None if mids else until)


def _edit(told: _Event, edit: Mapping[str, Any]) -> Callback | None:
    mid = id_at(edit, "mid")
    if mid is None or told.sender == told.account:
        return None
    number = id_at(edit, "num_edit") or str(int(told.at.timestamp() * 1000))
    return told.callback("edited", f"edit:{mid}:{number}", mid, text_at(edit, "text"), **{"as": "message"})


#: By the field in which an event's own part stands.
_READERS = {
    "message": _message,
    "postback": _postback,
    "reaction": _reaction,
    "read": _read,
    "delivery": _delivery,
    "message_edit": _edit,
}
