"""Bulk actions of operators: how many executions each would move, and the record of what it moved."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from models.database import acting_as
from models.execution import is_cancellable, is_discardable, is_retryable
from models.expressions import now
from models.ids import new_id
from models.queries import count, execute, fetch_first
from models.selection import Selection
from models.tables import Execution, Operation
from models.tables.workspaces import OperationKind, OperationStatus

#: Which executions each action can move; the same conditions as in the moves themselves.
MOVABLE = {"retry": is_retryable, "cancel": is_cancellable, "discard": is_discardable}


class OperationRow(TypedDict):
    """A bulk action as it was recorded."""

    id: str
    kind: OperationKind
    filters: dict[str, Any]
    status: OperationStatus
    matched: int
    done: int
    conflicts: list[Any]
    actor_name: str
    created_at: datetime
    finished_at: datetime | None


def count_matching(action: OperationKind, selection: Selection) -> int:
    """Count the executions that the action would move."""
    return count(Execution.select().where(selection.condition, MOVABLE[action]()))


def record(
    workspace_id: str, kind: OperationKind, filters: Mapping[str, Any], matched: int, done: int, actor_name: str
) -> str:
    """Record a finished bulk action; return its id."""
    operation_id = new_id()
    execute(
        Operation.insert(
            id=operation_id, workspace_id=workspace_id, kind=kind, filters=dict(filters), status="finished",
            matched=matched, done=done, actor_name=actor_name, finished_at=now(),
        )
    )  # fmt: skip
    return operation_id


def get(workspace_id: str, operation_id: str) -> OperationRow | None:
    """Return one bulk action of the workspace."""
    query = Operation.select(
        Operation.id, Operation.kind, Operation.filters, Operation.status, Operation.matched, Operation.done,
        Operation.conflicts, Operation.actor_name, Operation.created_at, Operation.finished_at,
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch_first(
            OperationRow, query.where(Operation.workspace_id == workspace_id, Operation.id == operation_id)
        )
