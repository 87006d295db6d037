"""Counts a step's texts as their channel does: the parts of an SMS, and the limits of direct messages.

Variables count as empty, as their length depends on the contact. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rules import sms_text, truncation
from rules.channels import CONVERSATION_CHANNELS
from rules.text_warnings import read_fixed_text

_TITLE = re.compile(r"with\.buttons\[(\d{1,2})\]\.title")
_KINDS = frozenset({"message", "private_reply"})


def describe_length(step: Mapping[str, Any], path: str, trigger: str) -> str | None:
    """The length of the text at a path of a step, such as `with.body`; None where its channel has no limit."""
    value = step.get("with")
    fields = value if isinstance(value, Mapping) else {}
    title = _TITLE.fullmatch(path)
    if title:
        return _describe_title(fields.get("buttons"), int(title[1]))
    source = fields.get("body", "")
    text = read_fixed_text(source) if path == "with.body" and isinstance(source, str) else None
    if text is None:
        return None
    if step.get("action") == "send_sms":
        return _describe_sms(text, fields.get("max_segments")) + _note(source, text)
    limit = _find_limit(step, fields, trigger.partition(".")[0])
    return _describe_limit(text, limit) + _note(source, text) if limit else None


def _describe_title(buttons: object, index: int) -> str | None:
    row = buttons[index] if isinstance(buttons, list) and index < len(buttons) else None
    source = row.get("title") if isinstance(row, Mapping) else None
    text = read_fixed_text(source) if isinstance(source, str) else None
    return None if text is None else _describe_limit(text, truncation.TITLE_LIMIT) + _note(str(source), text)


def _describe_sms(text: str, max_segments: object) -> str:
    length = sms_text.measure(sms_text.clean(text))
    limit = max_segments if isinstance(max_segments, int) else sms_text.MAX_SEGMENTS
    return f"{length.units:,} units of {length.encoding} · {length.segments} of {limit} parts"


def _find_limit(step: Mapping[str, Any], fields: Mapping[str, Any], platform: str) -> truncation.TextLimit | None:
    """The limit of a direct message, or of a reply to a comment, whose channel is by default that of the trigger."""
    if step.get("action") == "reply_comment":
        default = platform if platform in CONVERSATION_CHANNELS else "instagram"
        channel, kind = fields.get("channel", default), "comment_reply"
    elif step.get("action") == "send_message" and fields.get("as", "message") in _KINDS:
        channel, kind = fields.get("channel"), fields.get("as", "message")
    else:
        return None
    if channel not in CONVERSATION_CHANNELS:
        return None
    return truncation.find_text_limit(channel, kind, buttons=bool(fields.get("buttons")))


def _describe_limit(text: str, limit: truncation.TextLimit) -> str:
    if limit.characters is not None:
        return f"{len(text):,} of {limit.characters:,} characters"
    return f"{len(text.encode()):,} of {limit.bytes:,} bytes"


def _note(source: str, text: str) -> str:
    return " · without variables" if text != source else ""
