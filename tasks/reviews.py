"""Messages that a person reads before they are sent: they wait, without a time, for a yes or a no.

The text is on record from the moment it is ready; a yes may change it. A no skips the step, and the workflow goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import metrics
from models import account, audit, message
from models.audit import Actor
from models.database import Row, acting_as
from models.ids import is_id
from models.refusals import Conflict, NotThere
from rules import fitting
from rules.definition import Step
from rules.eligibility import Skip, skip
from tasks.bells import ring_after_commit
from tasks.passage import Passage


def first_status(step: Step) -> str:
    """The status with which the step's message is written down."""
    return "review" if step.review else "pending"


def awaits_review(passage: Passage, step: Step) -> bool:
    """Leave the step's message to a person, where it wants one and none has decided yet."""
    written = passage.messages.get(step.id)
    if written is None or written["status"] != "review":
        return False
    if passage.stage != "ready_to_send":
        passage.enter("ready_to_send")
    passage.state["queue"] = step.queue
    passage.wait("review", None)
    return True


def rejection(written: Mapping[str, Any] | None) -> Skip | None:
    """Why the step is skipped, where a person said no to its message."""
    if written is None or written["status"] != "discarded":
        return None
    return skip("rejected", None, None, written["error_message"])


def approve(workspace_id: str, message_id: str, actor: Actor, body: str | None = None) -> None:
    """Have the message sent, with another body where one is given."""
    with acting_as(workspace_id):
        found = _to_decide(message_id)
        text = None if body is None else _fitted(found, body)
        ring_after_commit([_decided(message.approve(message_id, text))])
        is_edited = body is not None and body != found["body"]
        audit.record(workspace_id, actor, "message.approved", "message", message_id, {"edited": is_edited})
    metrics.operator_actions_total.labels(action="review", result="done").inc()


def reject(workspace_id: str, message_id: str, actor: Actor) -> None:
    """Have the message not sent; its step is skipped."""
    with acting_as(workspace_id):
        _to_decide(message_id)
        ring_after_commit([_decided(message.reject(message_id, f"Rejected by {actor.name}"))])
        audit.record(workspace_id, actor, "message.rejected", "message", message_id)
    metrics.operator_actions_total.labels(action="review", result="done").inc()


def _fitted(found: Row, body: str) -> str:
    """What a person wrote is as long as the channel takes it, like what a template wrote."""
    if found["channel"] not in account.CHANNELS:
        return body
    detail = found["detail"] or {}
    return fitting.fit(body, fitting.room(found["channel"], detail["way"], buttons=bool(detail.get("buttons"))))


def _to_decide(message_id: str) -> Row:
    found = message.of_workspace(message_id) if is_id(message_id) else None
    if found is None:
        raise NotThere("There is no message by that id.")
    if found["status"] != "review":
        raise Conflict(f"Only a message that waits for review can be decided; this one is {found['status']}.")
    return found


def _decided(woken: Row | None) -> Row:
    if woken is None:
        raise Conflict("Its execution is not waiting: a worker has it, or it has ended. Try again in a moment.")
    return woken
