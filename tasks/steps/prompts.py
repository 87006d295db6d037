"""Builds the model's prompt from the step's templates and the conversation so far.

The conversation is read only where a template names it, and for follow-ups. It is bounded, because a contact's messages
are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from models import conversation
from models.database import connection
from rules.definition import Step
from rules.facts import format_time
from rules.templating import render
from tasks.runtime.claimed_execution import FIRST_ROUND, ClaimedExecution

#: Bounds of the conversation in a prompt: number of newest messages, and characters of each.
MAX_MESSAGES = 20
MAX_TEXT_LENGTH = 1_000

_TEMPLATES = ("prompt", "system", "fallback")
_SENDER_LABELS = {"contact": "Contact", "us": "We"}


def build_prompt_facts(claimed: ClaimedExecution, step: Step) -> dict[str, Any]:
    """Build the variables of this step's templates: those of every step, and `conversation` where it is used."""
    facts = claimed.build_facts()
    if claimed.round > FIRST_ROUND or uses_conversation(step):
        facts["conversation"] = list_conversation(claimed)
    return facts


def uses_conversation(step: Step) -> bool:
    """Whether a template of the step may use the conversation."""
    return any("conversation" in str(step.with_.get(name) or "") for name in _TEMPLATES)


def render_prompt(claimed: ClaimedExecution, step: Step, facts: Mapping[str, Any]) -> str:
    """Render the prompt; a follow-up's prompt that does not use the conversation has it appended."""
    text = render(step.with_["prompt"], facts)
    if claimed.round == FIRST_ROUND or uses_conversation(step):
        return text
    return f"{text}\n\n{_build_context(claimed, facts['conversation'])}"


def list_conversation(claimed: ClaimedExecution) -> list[dict[str, str | None]]:
    """Return the messages between the contact and us, newest last: `from` (contact, us), `channel`, `text` and `at`."""
    contact_id = claimed.row["contact_id"]
    if contact_id is None:
        return []
    with connection():
        rows = conversation.list_recent(contact_id, MAX_MESSAGES)
    # A test's messages are in no conversation other than the test's own.
    test_messages = claimed.sent_to_contact if claimed.test else []
    lines = [_build_line("contact" if row["direction"] == "in" else "us", row["channel"], row["text"], row["at"])
             for row in rows if row["text"]]  # fmt: skip
    lines += [_build_line("us", message["channel"], message["body"], message["sent_at"]) for message in test_messages]
    return sorted(lines, key=lambda line: str(line["at"]))[-MAX_MESSAGES:]


def _build_line(sender: str, channel: str, text: str, at: Any) -> dict[str, str | None]:
    plain = str(Markup(text).striptags()) if channel == "email" else text
    short = plain if len(plain) <= MAX_TEXT_LENGTH else f"{plain[:MAX_TEXT_LENGTH]}…"
    return {"from": sender, "channel": channel, "text": short, "at": format_time(at)}


def _build_context(claimed: ClaimedExecution, lines: Sequence[Mapping[str, str | None]]) -> str:
    max_follow_ups = claimed.workflow.rules.follow_ups.max
    transcript = "\n".join(f"{_SENDER_LABELS[str(line['from'])]} ({line['at']}): {line['text']}" for line in lines)
    return (
        f"This is follow-up {claimed.round} of {max_follow_ups}: the contact has not answered yet. Write the next "
        f"message. Refer to what was said and do not repeat it. The conversation so far, oldest first:\n{transcript}"
    )
