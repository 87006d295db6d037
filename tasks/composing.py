"""Writes a message down, whole, before it is sent: where it goes, what it says, and when."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import mrml

from providers import CHANNELS
from rules.definition import Step
from rules.errors import InvalidRequest
from rules.schedule import send_time
from rules.templating import render, render_within
from tasks import direct_messages
from tasks.channels import address_of, channel_of
from tasks.engine import Engine
from tasks.passage import Passage
from tasks.reviews import first_status

#: What an operator reads where the real address is a secret.
_NAMED = {"slack": "Slack", "discord": "Discord"}


def prepare(engine: Engine, passage: Passage, step: Step) -> dict[str, Any]:
    """Write the message down once: a retry sends the same text to the same address under the same key."""
    message = passage.messages.get(step.id)
    if message is not None:
        return message
    facts, channel = passage.facts(), channel_of(step)
    to, body = _content(passage, step, facts)
    detail = None
    if channel in direct_messages.CHANNELS:
        body, detail = direct_messages.written(step, body, facts)
    written = {name: one_line(step, name, facts) for name in ("subject", "from", "reply_to")}
    return passage.message(
        step,
        status=first_status(step),
        channel=channel,
        provider=CHANNELS[channel],
        sandbox=_is_sandbox(engine, passage),
        to_address=to,
        sender=written["from"],
        subject=written["subject"],
        body=body,
        format="html" if step.with_.get("format") in ("html", "mjml") else "text",
        generation_ms=_generation_ms(passage),
        detail=detail,
        send_at=_send_at(passage, step, facts),
    )


def one_line(step: Step, name: str, facts: Mapping[str, object]) -> str | None:
    """A field of one line: what a value brings of line breaks would be a new header."""
    source = step.with_.get(name)
    return " ".join(render(source, facts).split()) or None if source else None


def _content(passage: Passage, step: Step, facts: Mapping[str, object]) -> tuple[str, str]:
    """Where the message goes and what it says."""
    if step.action == "notify":
        return _NAMED[step.with_["channel"]], render(step.with_["text"], facts)
    if step.action == "call_webhook":
        return render(step.with_["url"], facts), _webhook_body(passage, step, facts)
    address = address_of(passage, step) or ""
    format = step.with_.get("format")
    body = render(step.with_["body"], facts, html=format in ("html", "mjml"))
    if not body.strip():
        raise InvalidRequest("The message is empty: nothing was sent. Look at the step's body.")
    if format != "mjml":
        return address, body
    try:
        return address, mrml.to_html(body).content
    except OSError as error:
        raise InvalidRequest(f"The body is not valid MJML: {error}") from None


def _webhook_body(passage: Passage, step: Step, facts: Mapping[str, object]) -> str:
    body = step.with_.get("body")
    if isinstance(body, str):
        return render(body, facts)
    if body is not None:
        return json.dumps(render_within(body, facts))
    happened = {
        "type": passage.row["trigger_type"],
        "timestamp": passage.now().isoformat(),
        "data": {"executionId": passage.execution_id, "contact": passage.contact, "payload": passage.row["payload"]},
    }
    return json.dumps(happened, default=str)


def _generation_ms(passage: Passage) -> int | None:
    """How long the newest generated text took, which this message is taken to carry."""
    times = [
        step["execution_time_ms"] for step in passage.steps.values()
        if step["action"] == "generate_message" and step["status"] == "succeeded"
    ]  # fmt: skip
    return times[-1] if times else None


def _send_at(passage: Passage, step: Step, facts: Mapping[str, object]) -> datetime | None:
    if step.send_at is None:
        return None
    text = render(step.send_at, facts).strip()
    zone = (passage.contact or {}).get("timezone") or passage.row["workspace_timezone"]
    try:
        return send_time(text, zone, passage.now())
    except (ValueError, OverflowError):
        raise InvalidRequest(f'send_at is "{text}", which is not a time such as 2026-12-24T09:00:00Z') from None


def _is_sandbox(engine: Engine, passage: Passage) -> bool:
    """What the message will say before it is sent; a missing key is reported when it is."""
    return passage.test or (engine.settings.sandbox == "auto" and passage.row["demo"])
