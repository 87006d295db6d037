"""Reviews: a person approves or rejects a message that waits for it (`tasks.steps.review_gate`).

The text is recorded as soon as it is ready, and an approval may change it. A rejection skips the step, and the workflow
continues.
"""

from __future__ import annotations

from models import audit, message
from models.audit import AuditActor
from models.database import acting_as
from models.engine.rows import DueRow, StoredMessageRow
from models.errors import Conflict, NotFound
from models.ids import is_id
from rules import truncation
from rules.channels import CONVERSATION_CHANNELS
from tasks.operators.counting import count_action
from tasks.runtime.notifications import notify_after_commit


@count_action("review")
def approve(workspace_id: str, message_id: str, actor: AuditActor, body: str | None = None) -> None:
    """Approve the message, with `body` in place of its text if it is set."""
    with acting_as(workspace_id):
        message_row = _require_in_review(message_id)
        text = None if body is None else _truncate(message_row, body)
        notify_after_commit([_require_reopened(message.approve(message_id, text))])
        is_edited = body is not None and body != message_row["body"]
        audit.record(
            workspace_id, actor, "message.approved", "message", message_id, {"edited": is_edited},
            execution_id=message_row["execution_id"],
        )  # fmt: skip


@count_action("review")
def reject(workspace_id: str, message_id: str, actor: AuditActor) -> None:
    """Reject the message; its step is skipped."""
    with acting_as(workspace_id):
        message_row = _require_in_review(message_id)
        notify_after_commit([_require_reopened(message.reject(message_id, f"Rejected by {actor.name}"))])
        audit.record(
            workspace_id, actor, "message.rejected", "message", message_id, execution_id=message_row["execution_id"]
        )


def _truncate(message_row: StoredMessageRow, body: str) -> str:
    """Truncate an edited body to the channel's limit, like a rendered one."""
    if message_row["channel"] not in CONVERSATION_CHANNELS:
        return body
    detail = message_row["detail"] or {}
    return truncation.truncate(
        body, truncation.find_text_limit(message_row["channel"], detail["way"], buttons=bool(detail.get("buttons")))
    )


def _require_in_review(message_id: str) -> StoredMessageRow:
    message_row = message.get_for_update(message_id) if is_id(message_id) else None
    if message_row is None:
        raise NotFound("There is no message with that id.")
    if message_row["status"] != "review":
        raise Conflict(f"Only a message in review can be approved or rejected; this one is {message_row['status']}.")
    return message_row


def _require_reopened(row: DueRow | None) -> DueRow:
    if row is None:
        raise Conflict("Its execution is being processed or has ended. Try again in a moment.")
    return row
