"""The moves that callbacks of every provider cause: a message's status moves forward only, and executions wake.

A callback also resolves the unknown outcome of its message.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from models import execution, message
from models.engine.rows import StoredMessageRow
from models.message import Recipient
from providers.base import Callback
from rules.definition import REPLIED
from rules.stages import MessageStatus
from tasks.runtime.notifications import notify_after_commit

#: The message status that each kind of callback leads to.
STATUS: dict[str, MessageStatus] = {
    "sent": "sent", "echo": "sent", "delivered": "delivered", "read": "read", "opened": "read", "clicked": "read",
    "bounced": "bounced", "complained": "complained",
}  # fmt: skip


#: How long before an event that names a message by address and text alone its send may have begun, and after it, for
#: clocks that differ.
SENT_BEFORE, SENT_AFTER = timedelta(days=2), timedelta(minutes=5)


def find_by_text(
    recipient: Recipient, text: str | None, at: datetime, workspace_id: str | None
) -> StoredMessageRow | None:
    """Find and lock the only message of unknown outcome that an event of this recipient, text and time can mean."""
    rows = _list_candidates(recipient, text, at, workspace_id)
    return rows[0] if len(rows) == 1 else None


def note_ambiguity(recipient: Recipient | None, text: str | None, at: datetime, workspace_id: str | None) -> None:
    """Note an event that fits several messages of unknown outcome on each of them; it moves none."""
    rows = _list_candidates(recipient, text, at, workspace_id) if recipient else []
    if rows:
        message.note_ambiguous_report([row["id"] for row in rows])


def _list_candidates(
    recipient: Recipient, text: str | None, at: datetime, workspace_id: str | None
) -> list[StoredMessageRow]:
    if not text:
        return []
    return message.list_unknown(recipient, text, at - SENT_BEFORE, at + SENT_AFTER, workspace_id)


def update_message_status(message_row: StoredMessageRow, callback: Callback) -> None:
    """Apply a callback to its message."""
    if message_row["status"] == "outcome_unknown":
        _resolve_unknown_outcome(message_row, callback)
    if callback.kind == "failed" and callback.permanent:
        message.record_failure(
            message_row["id"], str(callback.detail.get("reason") or callback.text or "not delivered")
        )
        return
    status = STATUS.get(callback.kind)
    if status is not None:
        message.advance(message_row["id"], status)


def _resolve_unknown_outcome(message_row: StoredMessageRow, callback: Callback) -> None:
    """Resolve an unknown outcome as sent: any report about a message, even a failure, proves that it was accepted."""
    if callback.kind not in STATUS and callback.kind not in ("failed", "delayed"):
        return
    reopened = message.resolve_sent(message_row["id"], callback.provider_message_id)
    if reopened is not None:
        notify_after_commit([reopened])


def wake_for_reply(contact_id: str, *, tests_only: bool = False) -> bool:
    """Wake executions that wait for a reply of this contact; return whether there were any."""
    rows = execution.wake_for_events([(contact_id, REPLIED)], tests_only=tests_only)
    notify_after_commit(rows)
    return bool(rows)
