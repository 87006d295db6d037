"""Imitates the webhooks of Slack and Discord: accepts notices, and refuses what the two refuse.

Pages: api.slack.com, Sending messages using incoming webhooks; discord.com/developers, Execute Webhook, and its OpenAPI
document.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from rules.json_text import load_json
from sandbox.forms import MULTIPART, URLENCODED, flatten, parse_form
from sandbox.http import HttpResponse, Request
from sandbox.parsed_request import ParsedRequest, build_message
from sandbox.store import now

#: Slack's limits of a message.
MAX_BLOCKS, MAX_ATTACHMENTS, MAX_SECTION_LENGTH = 50, 100, 3_000
#: Discord's limits of a message.
MAX_CONTENT_LENGTH, MAX_EMBEDS, MAX_USERNAME_LENGTH, MAX_EMBEDS_LENGTH = 2_000, 10, 80, 6_000
_EMBED_LENGTHS = {"title": 256, "description": 4_096}
#: Words that Discord allows in no name of a webhook.
_RESERVED_NAMES = ("discord", "clyde")
_JSON = "application/json"
_CONTENT_FIELDS = ("content", "embeds", "components", "attachments", "poll")


def parse_slack_post(request: Request) -> ParsedRequest:
    """Parse `POST /services/…`: JSON, or a form with JSON in `payload`."""
    body = _parse_slack_payload(request)
    problem = "invalid_payload" if body is None else next(_find_slack_problems(body), None)
    if body is None or problem is not None:
        return ParsedRequest("slack", "slack", HttpResponse(400, problem))
    message = build_message(request, "slack", uuid.uuid4().hex, "slack", body)
    return ParsedRequest("slack", "slack", HttpResponse(200, "ok"), message)


def _parse_slack_payload(request: Request) -> dict[str, Any] | None:
    raw: str | bytes = request.body
    if request.media_type == URLENCODED:
        raw = (parse_form(request).get("payload") or [""])[-1]
    elif request.media_type not in (_JSON, ""):
        return None
    return _parse_object(raw)


def _parse_object(raw: str | bytes) -> dict[str, Any] | None:
    try:
        parsed = load_json(raw)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _find_slack_problems(body: Mapping[str, Any]) -> Iterator[str]:
    text, blocks, attachments = body.get("text"), body.get("blocks"), body.get("attachments")
    if not isinstance(text, str | None):
        yield "invalid_payload"
    if not isinstance(blocks, list | None) or not all(map(_is_block, blocks or [])) or len(blocks or []) > MAX_BLOCKS:
        yield "invalid_blocks"
    if not isinstance(attachments, list | None):
        yield "invalid_payload"
    if len(attachments or []) > MAX_ATTACHMENTS:
        yield "too_many_attachments"
    if not ((text or "").strip() or blocks or attachments):
        yield "no_text"


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return False
    text = block.get("text")
    length = len(str(text.get("text") or "")) if isinstance(text, dict) else 0
    return block["type"] != "section" or (length <= MAX_SECTION_LENGTH and bool(length or block.get("fields")))


def parse_discord_post(request: Request, channel: str) -> ParsedRequest:
    """Parse `POST /api/v10/webhooks/{id}/{token}`: JSON, or a form, in which `payload_json` may have the message."""
    body = _parse_discord_payload(request)
    rejection = _check_discord_post(request, channel, body)
    if body is None or rejection is not None:
        return ParsedRequest("discord", "discord", rejection or HttpResponse(400))
    message_id = str(secrets.randbits(62))
    message = build_message(request, "discord", message_id, "discord", body)
    # Discord takes the words of Python and of JSON.
    wait = request.query.get("wait", "").lower() in ("true", "1")
    response = HttpResponse(200, _build_discord_message(message_id, channel, body)) if wait else HttpResponse(204)
    return ParsedRequest("discord", "discord", response, message)


def _parse_discord_payload(request: Request) -> dict[str, Any] | None:
    if request.media_type not in (MULTIPART, URLENCODED):
        return _parse_object(request.body)
    fields = flatten(parse_form(request))
    return _parse_object(fields["payload_json"]) if isinstance(fields.get("payload_json"), str) else fields


def _check_discord_post(request: Request, channel: str, body: dict[str, Any] | None) -> HttpResponse | None:
    if request.media_type not in (_JSON, MULTIPART, URLENCODED):
        kinds = f"{{'{_JSON}', '{MULTIPART}', '{URLENCODED}'}}"
        return HttpResponse(400, {"_misc": [f'Expected "Content-Type" header to be one of {kinds}.']})
    if body is None:
        return HttpResponse(400, {"message": "The request body contains invalid JSON.", "code": 50109})
    if not channel.isdigit():
        return _reject_discord_field("webhook_id", "NUMBER_TYPE_COERCE", f'Value "{channel}" is not snowflake.')
    problem = next(_find_discord_problems(body), None)
    if problem is not None:
        return _reject_discord_field(*problem)
    if not any(_is_filled(body.get(name)) for name in _CONTENT_FIELDS):
        return HttpResponse(400, {"message": "Cannot send an empty message", "code": 50006})
    return None


def _reject_discord_field(field: str, code: str, message: str) -> HttpResponse:
    errors = {field: {"_errors": [{"code": code, "message": message}]}}
    return HttpResponse(400, {"message": "Invalid Form Body", "code": 50035, "errors": errors})


def _is_filled(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _find_discord_problems(body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    content, username, embeds = body.get("content"), body.get("username"), body.get("embeds")
    if not isinstance(content, str | None):
        yield "content", "STRING_TYPE_CONVERT", "Could not convert value to string."
    if len(content or "") > MAX_CONTENT_LENGTH:
        yield "content", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_CONTENT_LENGTH} or fewer in length."
    if username is not None:
        yield from _find_name_problems(username)
    if not isinstance(embeds, list | None) or not all(isinstance(embed, dict) for embed in embeds or []):
        yield "embeds", "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType"
    yield from _find_embed_problems(embeds or [])
    mentions = body.get("allowed_mentions")
    parse = mentions.get("parse") if isinstance(mentions, dict) else mentions
    if not isinstance(parse, list | None) or not {"users", "roles", "everyone"}.issuperset(parse or []):
        yield "allowed_mentions", "BASE_TYPE_CHOICES", "Value must be one of ('users', 'roles', 'everyone')."


def _find_name_problems(username: Any) -> Iterator[tuple[str, str, str]]:
    if not isinstance(username, str) or not 0 < len(username) <= MAX_USERNAME_LENGTH:
        yield "username", "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {MAX_USERNAME_LENGTH} in length."
    for word in _RESERVED_NAMES:
        if word in str(username).lower():
            yield "username", "USERNAME_INVALID_CONTAINS", f'Username cannot contain "{word}"'


def _find_embed_problems(embeds: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    if len(embeds) > MAX_EMBEDS:
        yield "embeds", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_EMBEDS} or fewer in length."
    for embed in embeds:
        for name, length in _EMBED_LENGTHS.items():
            if len(str(embed.get(name) or "")) > length:
                yield "embeds", "BASE_TYPE_MAX_LENGTH", f"Must be {length} or fewer in length."
    if sum(len(str(embed.get(name) or "")) for embed in embeds for name in _EMBED_LENGTHS) > MAX_EMBEDS_LENGTH:
        yield "embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000"


def _build_discord_message(message_id: str, channel: str, body: Mapping[str, Any]) -> dict[str, Any]:
    author = {
        "id": channel,
        "username": body.get("username") or "Sandbox",
        "avatar": None,
        "discriminator": "0000",
        "bot": True,
        "public_flags": 0,
        "flags": 0,
        "global_name": None,
    }
    return {
        "id": message_id,
        "channel_id": channel,
        "webhook_id": channel,
        "type": 0,
        "content": body.get("content") or "",
        "author": author,
        "embeds": body.get("embeds") or [],
        "attachments": [],
        "components": [],
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "pinned": False,
        "tts": bool(body.get("tts")),
        "timestamp": now().isoformat(),
        "edited_timestamp": None,
        "flags": 0,
    }
