"""Checks the parameters of Meta's Send API, and names the first that Meta refuses.

Pages: developers.facebook.com, Messenger Platform, Send API reference (messages, buttons, quick replies); Instagram
Platform, Messaging API.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: Limits of Instagram's texts in bytes, and of Messenger's in characters.
MAX_INSTAGRAM_BYTES, MAX_MESSENGER_LENGTH = 1_000, 2_000
MAX_QUICK_REPLIES, MAX_BUTTONS, MAX_TEMPLATE_LENGTH = 13, 3, 640
MAX_BUTTON_TITLE_LENGTH, MAX_PAYLOAD_LENGTH = 20, 1_000

_RECIPIENT_FIELDS = ("id", "comment_id", "post_id", "user_ref", "phone_number", "notification_messages_token")
_MESSAGE_FIELDS = ("text", "attachment", "attachments", "quick_replies", "metadata", "sticker_id")
_MESSAGING_TYPES = ("RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY")
_NOTIFICATION_TYPES = ("REGULAR", "SILENT_PUSH", "NO_PUSH")
#: The only tag that is left since 2026-04-27.
_TAGS = ("HUMAN_AGENT",)


def extract_recipient(params: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the id of the person, comment or post, or ""; and whether it is a comment or post."""
    recipient = params.get("recipient")
    fields = recipient if isinstance(recipient, dict) else {}
    comment = str(fields.get("comment_id") or fields.get("post_id") or "")
    return comment or str(fields.get("id") or ""), bool(comment)


def find_problem(provider: str, params: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a request to send, in Meta's words; None if nothing is."""
    return next(_find_problems(provider, params), None)


def _find_problems(provider: str, params: Mapping[str, Any]) -> Iterator[str]:
    yield from _find_recipient_problems(params.get("recipient"))
    for name, choices in (("messaging_type", _MESSAGING_TYPES), ("notification_type", _NOTIFICATION_TYPES)):
        if params.get(name, choices[0]) not in choices:
            yield f'Param {name} must be one of {{{", ".join(choices)}}} - got "{params[name]}".'
    if params.get("messaging_type") == "MESSAGE_TAG" and params.get("tag") not in _TAGS:
        yield f"Param tag must be one of {{{', '.join(_TAGS)}}}"
    message = params.get("message")
    if message is None and not params.get("sender_action"):
        yield "The parameter message is required"
    if message is not None:
        yield from _find_message_problems(provider, message)


def _find_recipient_problems(recipient: Any) -> Iterator[str]:
    if not recipient:
        yield "The parameter recipient is required"
    if not isinstance(recipient, dict):
        yield "Param recipient must be a JSON object."
    yield from _find_invalid_keys(recipient, _RECIPIENT_FIELDS, "recipient")
    if len(recipient) != 1:
        yield "Param recipient must have exactly one of " + ", ".join(_RECIPIENT_FIELDS)
    for name, value in recipient.items():
        if not isinstance(value, str) or not value.strip():
            yield f'Param recipient[{name}] must be a valid ID string (e.g., "123")'


def _find_invalid_keys(value: Mapping[str, Any], allowed: tuple[str, ...], path: str) -> Iterator[str]:
    invalid = ", ".join(name for name in value if name not in allowed)
    if invalid:
        yield f'Invalid keys "{invalid}" were found in param "{path}".'


def _find_message_problems(provider: str, message: Any) -> Iterator[str]:
    if not isinstance(message, dict):
        yield "Param message must be a JSON object."
    yield from _find_invalid_keys(message, _MESSAGE_FIELDS, "message")
    text, attachment = message.get("text"), message.get("attachment") or message.get("attachments")
    if not isinstance(text, str | None):
        yield "Param message[text] must be a string."
    if not (text or "").strip() and not attachment:
        yield "Message cannot be empty, must provide valid attachment or text"
    if _is_too_long(provider, text or ""):
        yield "Length of param message[text] is too long"
    if attachment:
        yield from _find_attachment_problems(message.get("attachment"))
    yield from _find_quick_reply_problems(message.get("quick_replies", []))
    if len(str(message.get("metadata") or "")) > MAX_PAYLOAD_LENGTH:
        yield f"Length of param message[metadata] must be less than or equal to {MAX_PAYLOAD_LENGTH}"


def _is_too_long(provider: str, text: str) -> bool:
    if provider == "instagram":
        return len(text.encode()) > MAX_INSTAGRAM_BYTES
    return len(text) > MAX_MESSENGER_LENGTH


def _find_quick_reply_problems(quick_replies: Any) -> Iterator[str]:
    if not isinstance(quick_replies, list):
        yield "Param message[quick_replies] must be an array."
    if len(quick_replies) > MAX_QUICK_REPLIES:
        yield f"Param message[quick_replies] must have at most {MAX_QUICK_REPLIES} elements"
    for number, reply in enumerate(quick_replies):
        path = f"message[quick_replies][{number}]"
        if not isinstance(reply, dict) or not reply.get("content_type"):
            yield f"The parameter {path}[content_type] is required"
        elif reply["content_type"] == "text" and not (reply.get("title") and reply.get("payload")):
            yield f"The parameters {path}[title] and {path}[payload] are required"


def _find_attachment_problems(attachment: Any) -> Iterator[str]:
    if not isinstance(attachment, dict) or not isinstance(attachment.get("payload"), dict):
        yield "The parameter message[attachment][payload] is required"
        return
    payload = attachment["payload"]
    if attachment.get("type") != "template" or payload.get("template_type") != "button":
        return
    path = "message[attachment][payload]"
    if not 0 < len(str(payload.get("text") or "")) <= MAX_TEMPLATE_LENGTH:
        yield f"Length of param {path}[text] must be less than or equal to {MAX_TEMPLATE_LENGTH}"
    buttons = payload.get("buttons")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= MAX_BUTTONS:
        yield f"Param {path}[buttons] must have between 1 and {MAX_BUTTONS} elements"
        return
    for number, button in enumerate(buttons):
        yield from _find_button_problems(f"{path}[buttons][{number}]", button)


def _find_button_problems(path: str, button: Any) -> Iterator[str]:
    fields = button if isinstance(button, dict) else {}
    if not 0 < len(str(fields.get("title") or "")) <= MAX_BUTTON_TITLE_LENGTH:
        yield f"Length of param {path}[title] must be less than or equal to {MAX_BUTTON_TITLE_LENGTH}"
    required = {"web_url": "url", "postback": "payload", "phone_number": "payload"}.get(str(fields.get("type")))
    if required is None:
        yield f"Param {path}[type] is not a valid type"
    elif not fields.get(required):
        yield f"The parameter {path}[{required}] is required"
