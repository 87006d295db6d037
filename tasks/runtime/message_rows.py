"""Changes the message rows of a claimed execution: each step has at most one message in a round."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from models.engine.rows import MessageRow
from models.ids import new_id
from rules.definition import Step
from tasks.runtime.claimed_execution import ClaimedExecution


def update(claimed: ClaimedExecution, step: Step, **fields: Unpack[MessageRow]) -> MessageRow:
    """Change the message of a step by `fields`, creating it on first use, and return it."""
    at = claimed.now()
    row = claimed.messages.get(step.id)
    if row is None:
        row = _create(claimed, step, at)
    row.update(fields)
    row["updated_at"] = at
    claimed.messages[step.id] = claimed.changes.messages[step.id] = row
    return row


def _create(claimed: ClaimedExecution, step: Step, at: datetime) -> MessageRow:
    return {
        "id": new_id(),
        "execution_id": claimed.execution_id,
        "automation_id": claimed.row["automation_id"],
        "contact_id": claimed.row["contact_id"],
        "step_id": step.id,
        "round": claimed.round,
        "key": f"{claimed.execution_id}:{step.id}:{claimed.round}",
        "test": claimed.test,
        "format": "text",
        "status": "pending",
        "look_ups": 0,
        "resends": 0,
        "sent_at": None,
        "created_at": at,
    }
