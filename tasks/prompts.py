"""What the AI is asked: the step's prompt with everything a template sees, and what was said so far.

The conversation is read only where the prompt names it, or a follow-up goes on with it; it is bounded, because a
contact may write as much as they like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from models import conversation
from models.database import connection
from rules.definition import Step
from rules.facts import moment
from rules.templating import render
from tasks.passage import FIRST_ROUND, Passage, moment_of

#: How much of a conversation the model is shown: the newest messages, each so many characters.
MOST_MESSAGES = 20
LONGEST_TEXT = 1_000

_TEMPLATES = ("prompt", "system", "fallback")
_WHO = {"contact": "Contact", "us": "We"}


def prompt_facts(passage: Passage, step: Step) -> dict[str, Any]:
    """The variables of this step's templates: those of every step, and `conversation` where it is wanted."""
    facts = passage.facts()
    if passage.round > FIRST_ROUND or names_conversation(step):
        facts["conversation"] = said(passage)
    return facts


def names_conversation(step: Step) -> bool:
    """Whether a template of the step may ask for the conversation."""
    return any("conversation" in str(step.with_.get(name) or "") for name in _TEMPLATES)


def prompt_text(passage: Passage, step: Step, facts: Mapping[str, Any]) -> str:
    """The prompt; a follow-up's that says nothing of the conversation itself has it appended."""
    text = render(step.with_["prompt"], facts)
    if passage.round == FIRST_ROUND or names_conversation(step):
        return text
    return f"{text}\n\n{_context(passage, facts['conversation'])}"


def said(passage: Passage) -> list[dict[str, str | None]]:
    """What contact and we wrote to each other, newest last: `from` (contact, us), `channel`, `text` and `at`."""
    contact_id = passage.row["contact_id"]
    if contact_id is None:
        return []
    with connection():
        found = conversation.recent(contact_id, MOST_MESSAGES)
    # A test's own messages are in no conversation but its own.
    tested = passage.sent_to_contact if passage.test else []
    lines = [_line("contact" if one["direction"] == "in" else "us", one["channel"], one["text"], one["at"])
             for one in found if one["text"]]  # fmt: skip
    lines += [_line("us", one["channel"], one["body"], moment_of(one["sent_at"])) for one in tested]
    return sorted(lines, key=lambda line: str(line["at"]))[-MOST_MESSAGES:]


def _line(who: str, channel: str, text: str, at: Any) -> dict[str, str | None]:
    plain = str(Markup(text).striptags()) if channel == "email" else text
    short = plain if len(plain) <= LONGEST_TEXT else f"{plain[:LONGEST_TEXT]}…"
    return {"from": who, "channel": channel, "text": short, "at": moment(at)}


def _context(passage: Passage, lines: Sequence[Mapping[str, str | None]]) -> str:
    most = passage.workflow.rules.follow_ups.max
    spoken = "\n".join(f"{_WHO[str(line['from'])]} ({line['at']}): {line['text']}" for line in lines)
    return (
        f"This is follow-up {passage.round} of {most}: the contact has not answered yet. Write the next message. Refer "
        f"to what was said and do not repeat it. The conversation so far, oldest first:\n{spoken}"
    )
