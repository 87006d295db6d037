"""Parses one messaging event of Meta: a message from a person, or the status of a message of ours.

Instagram's and Messenger's events have the same format, with small differences: a postback on Messenger may have no id,
a read receipt has a message id on Instagram and a timestamp on Messenger.
"""

from __future__ import annotations

import hashlib
import json  # a hash that must stay the same
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from providers.base import Callback, CallbackKind
from providers.untrusted import get_id, get_path, get_text
from rules.opt_outs import read_direct_message

#: Maximum characters of a person's text, and attachments of a message, that are passed on.
MAX_TEXT_LENGTH = 20_000
MAX_ATTACHMENTS = 20
#: How often Instagram lets a person edit a message.
MAX_EDITS = 5


def list_text_event_ids(account: str, mid: str) -> list[str]:
    """Return the ids of the events that contain the text of a message."""
    edits = [f"{account}:edit:{mid}:{number}" for number in range(1, MAX_EDITS + 1)]
    return [f"{account}:message:{mid}", *edits]


class _MessagingEvent:
    """One event, with the fields that all kinds share."""

    def __init__(self, channel: str, account: str, event: Mapping[str, Any], at: datetime) -> None:
        self.channel, self.account, self.event, self.at = channel, account, event, at
        self.sender, self.recipient = get_id(event, "sender", "id"), get_id(event, "recipient", "id")

    def build_callback(
        self,
        kind: CallbackKind,
        event: str,
        mid: str | None,
        text: str | None = None,
        key: str | None = None,
        **detail: object,
    ) -> Callback:
        """Build the callback about the other person. `event` is the same in every redelivery."""
        person = self.recipient if self.sender == self.account else self.sender
        full_detail = {"account": self.account, **detail}
        return Callback(
            provider=self.channel,
            event_id=f"{self.account}:{event}",
            kind=kind,
            provider_message_id=mid,
            message_key=key,
            address=person,
            text=text[:MAX_TEXT_LENGTH] if text else None,
            occurred_at=self.at,
            detail={name: value for name, value in full_detail.items() if value not in (None, [], {})},
        )

    @property
    def fingerprint(self) -> str:
        """A hash that identifies an event without an id of its own."""
        return hashlib.sha256(json.dumps(self.event, sort_keys=True).encode()).hexdigest()[:32]


def read_messaging(channel: str, account: str, event: Mapping[str, Any], at: datetime) -> Callback | None:
    """Parse one messaging event; None if it is irrelevant."""
    messaging_event = _MessagingEvent(channel, account, event, at)
    if messaging_event.sender is None or messaging_event.sender == messaging_event.recipient:
        return None
    # Instagram marks what the account sends to itself beside the message or in it.
    if event.get("is_self") is True:
        return None
    for name, parse in _PARSERS.items():
        if isinstance(event.get(name), dict):
            return parse(messaging_event, event[name])
    return None


def _parse_message(event: _MessagingEvent, message: Mapping[str, Any]) -> Callback | None:
    mid, is_ours = get_id(message, "mid"), event.sender == event.account or message.get("is_echo") is True
    if mid is None or message.get("is_self") is True:
        return None
    if is_ours:
        return None if message.get("is_deleted") is True else _parse_echo(event, message, mid)
    if message.get("is_deleted") is True:
        return event.build_callback("unsent", f"unsent:{mid}", mid, **{"as": "message"})
    text = get_text(message, "text")
    attachments = _parse_attachments(message)
    is_mention = any(attachment.get("type") == "story_mention" for attachment in attachments)
    story = get_path(message, "reply_to", "story")
    as_ = "story_reply" if isinstance(story, dict) else "story_mention" if is_mention else "message"
    # The title of a quick reply is our own text, which its tap repeats.
    is_typed = not isinstance(message.get("quick_reply"), dict) and not isinstance(story, dict)
    intent = read_direct_message(text) if is_typed else None
    callback = event.build_callback(
        "unsubscribed" if intent == "opt_out" else "replied",
        f"message:{mid}",
        mid,
        text,
        **{"as": as_},
        payload=get_text(message, "quick_reply", "payload"),
        story={name: value for name in ("id", "url") if (value := get_id(story, name))},
        answers=get_id(message, "reply_to", "mid"),
        attachments=attachments,
        unsupported=message.get("is_unsupported") is True or None,
    )
    return replace(callback, intent=intent)


def _parse_echo(event: _MessagingEvent, message: Mapping[str, Any], mid: str) -> Callback:
    """Parse the echo of an outgoing message: ours, or a person's from the inbox; only our key or the id tells which."""
    text = get_text(message, "text") or get_text(message, "attachments", 0, "payload", "text")
    return event.build_callback("echo", f"echo:{mid}", mid, text, get_text(message, "metadata"))


def _parse_attachments(message: Mapping[str, Any]) -> list[dict[str, str]]:
    raw_attachments = message.get("attachments")
    attachments = [
        {
            name: text
            for name, text in (("type", get_text(attachment, "type")), ("url", get_text(attachment, "payload", "url")))
            if text
        }
        for attachment in (raw_attachments if isinstance(raw_attachments, list) else [])[:MAX_ATTACHMENTS]
    ]
    return [attachment for attachment in attachments if attachment]


def _parse_postback(event: _MessagingEvent, postback: Mapping[str, Any]) -> Callback | None:
    if event.sender == event.account:
        return None
    mid = get_id(postback, "mid") or f"postback:{event.fingerprint}"
    title, payload = get_text(postback, "title"), get_text(postback, "payload")
    return event.build_callback("replied", f"postback:{mid}", mid, title, payload=payload, **{"as": "postback"})


def _parse_reaction(event: _MessagingEvent, reaction: Mapping[str, Any]) -> Callback | None:
    mid = get_id(reaction, "mid")
    if mid is None or event.sender == event.account:
        return None
    is_removed = get_text(reaction, "action") == "unreact"
    text = get_text(reaction, "emoji") or get_text(reaction, "reaction")
    kind: CallbackKind = "unsent" if is_removed else "reacted"
    # A person has one reaction to a message at a time: it is stored under that id.
    name = f"reaction:{mid}:{event.sender}"
    at = int(event.at.timestamp() * 1000)
    return event.build_callback(kind, f"{name}:{kind}:{at}", name, text, **{"as": "reaction"})


def _parse_read_receipt(event: _MessagingEvent, read_receipt: Mapping[str, Any]) -> Callback | None:
    mid, until = get_id(read_receipt, "mid"), get_id(read_receipt, "watermark")
    if (mid is None and until is None) or event.sender == event.account:
        return None
    return event.build_callback("read", f"read:{event.sender}:{mid or until}", mid, until=None if mid else until)


def _parse_delivery(event: _MessagingEvent, delivery: Mapping[str, Any]) -> Callback | None:
    raw_mids = delivery.get("mids")
    mids = [mid for mid in (raw_mids if isinstance(raw_mids, list) else []) if isinstance(mid, str)]
    until = get_id(delivery, "watermark")
    if not mids and until is None:
        return None
    name = f"delivery:{event.sender}:{until}:{event.fingerprint}"
    first = mids[0] if mids else None
    return event.build_callback("delivered", name, first, mids=mids[1:], until=None if mids else until)


def _parse_edit(event: _MessagingEvent, edit: Mapping[str, Any]) -> Callback | None:
    mid = get_id(edit, "mid")
    if mid is None or event.sender == event.account:
        return None
    number = get_id(edit, "num_edit") or str(int(event.at.timestamp() * 1000))
    return event.build_callback("edited", f"edit:{mid}:{number}", mid, get_text(edit, "text"), **{"as": "message"})


#: By the field that holds an event's content.
_PARSERS = {
    "message": _parse_message,
    "postback": _parse_postback,
    "reaction": _parse_reaction,
    "read": _parse_read_receipt,
    "delivery": _parse_delivery,
    "message_edit": _parse_edit,
}
