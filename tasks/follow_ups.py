"""What a follow-up does again, and what calls it off: an operator, an unsubscribe, an answer.

Asked when a follow-up is due, whenever a worker takes one up, and right before it is sent; `tasks/rounds` acts on it.
"""

from __future__ import annotations

from typing import Any

from models import follow_up
from models.database import connection
from rules.definition import Step
from rules.eligibility import Skip, skip, unreachable
from rules.facts import moment
from rules.plan import follow_up_steps
from tasks.passage import FIRST_ROUND, Passage, moment_of

#: The event that a contact's answer is, for `wait_until`.
REPLIED = "contact.replied"


def steps_of_follow_up(passage: Passage) -> tuple[Step, ...]:
    """The last writing and the last send of the first round; nothing where there is nothing to follow up."""
    first = [step for step in (*passage.earlier_steps, *passage.steps.values()) if step["round"] == FIRST_ROUND]
    finished = {step["step_id"]: step["output"] or {} for step in first if step["status"] in ("succeeded", "skipped")}
    skipped = {step["step_id"] for step in first if step["status"] == "skipped"}
    return follow_up_steps(passage.workflow, finished, skipped)


def channel_of_follow_up(passage: Passage) -> str | None:
    """The channel on which a follow-up is sent."""
    steps = steps_of_follow_up(passage)
    return steps[-1].channel if steps else None


def called_off(passage: Passage) -> Skip | None:
    """What forbids another follow-up by now, besides the rules."""
    channel, last = channel_of_follow_up(passage), passage.sent_to_contact
    if channel is None or not last:
        return None
    since = max(moment_of(message["sending_at"]) for message in last)
    with connection():
        found = follow_up.called_off(passage.execution_id, passage.row["contact_id"], channel, since)
    if found["stopped"] is not None:
        return Skip(found["stopped"]["rule"], found["stopped"]["detail"])
    if found["suppressed"] == "unsubscribed":
        return skip("unsubscribed", channel, found["suppressed"], "The contact unsubscribed")
    if found["suppressed"] is not None:
        return unreachable(channel, None, suppressed=True)
    # A reply may also be told by a producer, as an event that leaves no message.
    told_at = passage.row["event_at"] if passage.row["waiting_for"] == "follow_up" else None
    replied_at = found["replied_at"] or told_at
    if replied_at is not None:
        return skip("replied", None, moment(replied_at), "The contact answered")
    return None


def as_output(skipped: Skip) -> dict[str, Any]:
    """The output of a step that is skipped for it."""
    return {"skipped": {"rule": skipped.rule, **skipped.detail}}
