"""Stops a step at its review: the message waits, without a time limit, until a person approves or rejects it.

A rejection skips the step, and the workflow continues. `tasks.operators.reviews` records the decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from rules.definition import Step
from rules.eligibility import Skip, build_skip
from tasks.runtime import moves
from tasks.runtime.claimed_execution import ClaimedExecution


def get_initial_status(step: Step) -> Literal["review", "pending"]:
    """Return the initial status of the step's message."""
    return "review" if step.review else "pending"


def rest_if_in_review(claimed: ClaimedExecution, step: Step) -> bool:
    """Make the execution wait for a review that is still undecided; return whether it waits."""
    message_row = claimed.messages.get(step.id)
    if message_row is None or message_row["status"] != "review":
        return False
    moves.enter(claimed, "ready_to_send")
    claimed.state["queue"] = step.queue or "executions"
    moves.wait(claimed, "review", None)
    return True


def find_rejection(message_row: Mapping[str, Any] | None) -> Skip | None:
    """Return the skip of a step whose message a person rejected."""
    if message_row is None or message_row["status"] != "discarded":
        return None
    return build_skip("rejected", None, None, message_row["error_message"])
