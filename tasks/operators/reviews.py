"""Messages that a person reads before they are sent: they wait, without a time, for a yes or a no.

The text is on record from the moment it is ready; a yes may change it. A no skips the step, and the workflow goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import metrics
from models import audit, message
from models.audit import Actor
from models.database import Row, acting_as
from models.errors import Conflict, NotFound
from models.ids import is_id
from rules import truncation
from rules.channels import CONVERSATION_CHANNELS
from rules.definition import Step
from rules.eligibility import Skip, build_skip
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.notifications import notify_after_commit


def get_initial_status(step: Step) -> Literal["review", "pending"]:
    """The status with which the step's message is written down."""
    return "review" if step.review else "pending"


def rest_if_in_review(claimed: ClaimedExecution, step: Step) -> bool:
    """Leave the step's message to a person, where it wants one and none has decided yet."""
    message_row = claimed.messages.get(step.id)
    if message_row is None or message_row["status"] != "review":
        return False
    if claimed.stage != "ready_to_send":
        claimed.enter("ready_to_send")
    claimed.state["queue"] = step.queue or "executions"
    claimed.wait("review", None)
    return True


def find_rejection(message_row: Mapping[str, Any] | None) -> Skip | None:
    """Why the step is skipped, where a person said no to its message."""
    if message_row is None or message_row["status"] != "discarded":
        return None
    return build_skip("rejected", None, None, message_row["error_message"])


def approve(workspace_id: str, message_id: str, actor: Actor, body: str | None = None) -> None:
    """Have the message sent, with another body where one is given."""
    with acting_as(workspace_id):
        message_row = _require_in_review(message_id)
        text = None if body is None else _truncate(message_row, body)
        notify_after_commit([_require_reopened(message.approve(message_id, text))])
        is_edited = body is not None and body != message_row["body"]
        audit.record(workspace_id, actor, "message.approved", "message", message_id, {"edited": is_edited})
    metrics.operator_actions_total.labels(action="review", result="done").inc()


def reject(workspace_id: str, message_id: str, actor: Actor) -> None:
    """Have the message not sent; its step is skipped."""
    with acting_as(workspace_id):
        _require_in_review(message_id)
        notify_after_commit([_require_reopened(message.reject(message_id, f"Rejected by {actor.name}"))])
        audit.record(workspace_id, actor, "message.rejected", "message", message_id)
    metrics.operator_actions_total.labels(action="review", result="done").inc()


def _truncate(message_row: Row, body: str) -> str:
    """What a person wrote is as long as the channel takes it, like what a template wrote."""
    if message_row["channel"] not in CONVERSATION_CHANNELS:
        return body
    detail = message_row["detail"] or {}
    return truncation.truncate(
        body, truncation.find_text_limit(message_row["channel"], detail["way"], buttons=bool(detail.get("buttons")))
    )


def _require_in_review(message_id: str) -> Row:
    message_row = message.get_for_update(message_id) if is_id(message_id) else None
    if message_row is None:
        raise NotFound("There is no message by that id.")
    if message_row["status"] != "review":
        raise Conflict(f"Only a message that waits for review can be decided; this one is {message_row['status']}.")
    return message_row


def _require_reopened(row: Row | None) -> Row:
    if row is None:
        raise Conflict("Its execution is not waiting: a worker has it, or it has ended. Try again in a moment.")
    return row
