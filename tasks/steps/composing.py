"""Composes and stores a message before it is sent: its address, its content and its send time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import mrml

from models import workspace_preferences
from models.engine.records import StoreLinks
from models.engine.rows import MessageRow
from rules import sms_text, truncation
from rules.channels import CHANNELS, CONVERSATION_CHANNELS
from rules.definition import Step
from rules.errors import InvalidRequest
from rules.json_text import dump_json
from rules.schedule import parse_send_time
from rules.senders import format_sender
from rules.templating import render, render_json, render_json_value
from rules.visible_text import has_visible_character
from tasks.runtime import message_rows
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.steps import direct_messages, unsubscribe_links
from tasks.steps.channels import find_address, get_channel
from tasks.steps.link_tracking import LinkTracker, find_tracker
from tasks.steps.review_gate import get_initial_status


def prepare(engine: Engine, claimed: ClaimedExecution, step: Step) -> MessageRow:
    """Compose the message once: a retry sends the same text to the same address with the same key."""
    message = claimed.messages.get(step.id)
    if message is not None:
        return message
    facts, channel = claimed.build_facts(), get_channel(step)
    provider, sandbox = CHANNELS[channel].provider, _is_sandbox(engine, claimed)
    tracker = find_tracker(engine.settings, step, provider, sandbox=sandbox)
    if channel == "email":
        facts |= unsubscribe_links.build_variables(engine.settings, claimed, find_address(claimed, step) or "")
    content = _build_content(claimed, step, facts, tracker)
    if channel == "email":
        content = _complete_email(engine, claimed, step, content)
    fields = {name: render_one_line(step, name, facts) for name in ("subject", "from", "reply_to")}
    row = message_rows.update(
        claimed,
        step,
        status=get_initial_status(step),
        channel=channel,
        provider=provider,
        sandbox=sandbox,
        to_address=content.to,
        sender=fields["from"] or _find_own_sender(claimed, channel),
        subject=fields["subject"],
        body=content.body,
        format=_find_format(step),
        generation_ms=_find_generation_ms(claimed),
        detail=content.detail,
        send_at=_parse_send_at(claimed, step, facts),
    )
    if tracker and tracker.urls_by_token:
        claimed.add_effect(StoreLinks(row["id"], tracker.urls_by_token))
    return row


def _complete_email(engine: Engine, claimed: ClaimedExecution, step: Step, content: _Content) -> _Content:
    """Add the footer of bulk e-mail, and keep whom its links belong to."""
    unsubscribe_links.remember_recipient(claimed, content.to)
    body = unsubscribe_links.add_bulk_footer(engine.settings, claimed, content.to, content.body, _find_format(step))
    return replace(content, body=body)


def _find_own_sender(claimed: ClaimedExecution, channel: str) -> str | None:
    """The sender of e-mail that the workspace has set, or None: then the provider's setting applies."""
    if channel != "email":
        return None
    own = workspace_preferences.load_cached(claimed.row["workspace_id"])
    return format_sender(own.sender_name, own.sender_address)


def render_one_line(step: Step, name: str, facts: Mapping[str, object]) -> str | None:
    """Render a field without line breaks: a line break in a value could add a header."""
    source = step.with_.get(name)
    return " ".join(render(source, facts).split()) or None if source else None


@dataclass(frozen=True)
class _Content:
    """A message's address, its body, and its other parts."""

    to: str
    body: str
    detail: dict[str, Any] | None = None


def _build_content(
    claimed: ClaimedExecution, step: Step, facts: Mapping[str, object], tracker: LinkTracker | None
) -> _Content:
    """Compose a message with its links replaced by those of the tracker, before it is cut to its channel's limit."""
    if step.action == "notify":
        return _compose_notice(step.with_["channel"], step.with_["text"], facts)
    if step.action == "call_webhook":
        return _Content(render(step.with_["url"], facts), _build_webhook_body(claimed, step, facts))
    to, body = find_address(claimed, step) or "", _render_body(step, facts)
    if tracker:
        body = tracker.replace_in(body, _find_format(step))
    detail: dict[str, Any] = {}
    if step.action == "send_sms":
        body, detail = _bound_sms(step, body)
    if get_channel(step) in CONVERSATION_CHANNELS:
        body, detail = direct_messages.compose(step, body, facts)
    if tracker:
        detail = tracker.replace_in_detail(detail)
    return _Content(to, body, detail or None)


def _bound_sms(step: Step, body: str) -> tuple[str, dict[str, Any]]:
    """Return the text within the step's limit of parts, and its length before a cut; raise where it may not be cut."""
    text, limit = sms_text.clean(body), step.with_.get("max_segments", sms_text.MAX_SEGMENTS)
    length = sms_text.measure(text)
    if length.segments <= limit:
        return text, {}
    if step.with_.get("when_too_long") != "cut":
        raise InvalidRequest(
            f"The SMS would have {length.segments} parts ({length.units} units of {length.encoding}), and the limit is"
            f" {limit}. Shorten the text, or set when_too_long to cut."
        )
    return sms_text.cut(text, limit), {"shortenedFrom": len(text)}


def _compose_notice(channel: str, source: str, facts: Mapping[str, object]) -> _Content:
    text = render(source, facts, form="slack" if channel == "slack" else "text")
    return _Content(CHANNELS[channel].label, truncation.truncate(text, truncation.find_notice_limit(channel)))


def _find_format(step: Step) -> Literal["html", "text"]:
    return "html" if step.with_.get("format") in ("html", "mjml") else "text"


def _render_body(step: Step, facts: Mapping[str, object]) -> str:
    body = render(step.with_["body"], facts, form=_find_format(step))
    if not has_visible_character(body):
        raise InvalidRequest("The message is empty, so it was not sent. Check the step's body.")
    if step.with_.get("format") != "mjml":
        return body
    try:
        return str(mrml.to_html(body).content)
    except OSError as error:
        raise InvalidRequest(f"The body is not valid MJML: {error}") from None


def _build_webhook_body(claimed: ClaimedExecution, step: Step, facts: Mapping[str, object]) -> str:
    body = step.with_.get("body")
    if isinstance(body, str):
        return render_json(body, facts)
    if body is not None:
        return dump_json(render_json_value(body, facts))
    event = {
        "type": claimed.row["trigger_type"],
        "timestamp": claimed.now().isoformat(),
        "data": {"executionId": claimed.execution_id, "contact": claimed.contact, "payload": claimed.row["payload"]},
    }
    return dump_json(event)


def _find_generation_ms(claimed: ClaimedExecution) -> int | None:
    """Return the duration of the newest generation, whose text this message is assumed to contain."""
    times = [
        step["execution_time_ms"] for step in claimed.steps.values()
        if step["action"] == "generate_message" and step["status"] == "succeeded"
    ]  # fmt: skip
    return times[-1] if times else None


def _parse_send_at(claimed: ClaimedExecution, step: Step, facts: Mapping[str, object]) -> datetime | None:
    if step.send_at is None:
        return None
    text = render(step.send_at, facts).strip()
    zone = (claimed.contact or {}).get("timezone") or claimed.row["workspace_timezone"]
    try:
        return parse_send_time(text, zone, claimed.now())
    except (ValueError, OverflowError):
        raise InvalidRequest(f'send_at is "{text}", which is not a time such as 2026-12-24T09:00:00Z') from None


def _is_sandbox(engine: Engine, claimed: ClaimedExecution) -> bool:
    """Whether the message is expected to go to the sandbox; a missing key is only reported at the send."""
    return claimed.test or (engine.settings.sandbox == "auto" and claimed.row["demo"])
