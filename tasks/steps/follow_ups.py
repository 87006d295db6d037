"""Determines what a follow-up repeats, and what stops it: an operator, an unsubscribe, a reply.

This is checked when a follow-up is due, at each claim of one, and right before it is sent; `tasks.rounds` acts on it.
"""

from __future__ import annotations

from typing import Any

from models import follow_up
from models.database import connection
from rules import plan
from rules.definition import Step
from rules.eligibility import Skip, build_skip, check_reachability
from rules.facts import format_time
from tasks.runtime.claimed_execution import FIRST_ROUND, ClaimedExecution


def list_follow_up_steps(claimed: ClaimedExecution) -> tuple[Step, ...]:
    """Return the last generation and the last send of the first round; empty where there is nothing to repeat."""
    first = [step for step in (*claimed.earlier_steps, *claimed.steps.values()) if step["round"] == FIRST_ROUND]
    finished = {step["step_id"]: step["output"] or {} for step in first if step["status"] in ("succeeded", "skipped")}
    skipped = {step["step_id"] for step in first if step["status"] == "skipped"}
    return plan.list_follow_up_steps(claimed.workflow, finished, skipped)


def find_follow_up_channel(claimed: ClaimedExecution) -> str | None:
    """Return the channel of a follow-up."""
    steps = list_follow_up_steps(claimed)
    return steps[-1].channel if steps else None


def find_stop_reason(claimed: ClaimedExecution) -> Skip | None:
    """Return what stops another follow-up now, apart from the rules."""
    channel, last = find_follow_up_channel(claimed), claimed.sent_to_contact
    if channel is None or not last:
        return None
    since = max(message["sending_at"] for message in last if message["sending_at"])
    with connection():
        row = follow_up.fetch_stop_reasons(claimed.execution_id, claimed.row["contact_id"], channel, since)
    if row["stopped"] is not None:
        return Skip(row["stopped"]["rule"], row["stopped"]["detail"])
    if row["suppressed"] in ("unsubscribed", "stopped"):
        return build_skip("unsubscribed", channel, row["suppressed"], "The contact unsubscribed")
    if row["suppressed"] is not None:
        return check_reachability(channel, None, suppressed=True)
    # A producer may also report a reply, as an event without a message.
    event_at = claimed.row["event_at"] if claimed.row["waiting_for"] == "follow_up" else None
    replied_at = row["replied_at"] or event_at
    if replied_at is not None:
        return build_skip("replied", None, format_time(replied_at), "The contact replied")
    return None


def as_output(skipped: Skip) -> dict[str, Any]:
    """Build the output of a step that is skipped for this reason."""
    return {"skipped": {"rule": skipped.rule, **skipped.detail}}
