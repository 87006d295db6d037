"""Bulk actions of operators: how many executions each would move, and the record of what it moved."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

from models.database import acting_as
from models.execution import is_cancellable, is_discardable, is_retryable
from models.expressions import is_any, now
from models.ids import new_id
from models.queries import count, execute, fetch, fetch_first, fetch_values
from models.selection import Selection
from models.tables import Execution, Operation
from models.tables.workspaces import OperationKind, OperationStatus
from rules.stages import Status

#: Which executions each action can move; the same conditions as in the moves themselves.
MOVABLE = {"retry": is_retryable, "cancel": is_cancellable, "discard": is_discardable}


class BulkConflict(TypedDict):
    """An execution that matched and was not moved, because another transaction changed it meanwhile to this status."""

    executionId: str
    status: Status


class OperationRow(TypedDict):
    """A bulk action as it was recorded."""

    id: str
    kind: OperationKind
    filters: dict[str, Any]
    status: OperationStatus
    matched: int
    done: int
    conflicts: list[BulkConflict]
    actor_name: str
    created_at: datetime
    finished_at: datetime | None


def count_matching(action: OperationKind, selection: Selection) -> int:
    """Count the executions that the action would move."""
    return count(Execution.select().where(selection.condition, MOVABLE[action]()))


def list_matching(action: OperationKind, selection: Selection) -> list[str]:
    """Return the ids of the executions that the action would move."""
    return fetch_values(Execution.select(Execution.id).where(selection.condition, MOVABLE[action]()))


def record(
    workspace_id: str,
    kind: OperationKind,
    filters: Mapping[str, Any],
    matched: Sequence[str],
    moved: Collection[str],
    actor_name: str,
) -> str:
    """Record a finished bulk action; return its id. What matched and was not moved is a conflict."""
    operation_id = new_id()
    conflicts = _describe_conflicts(sorted(set(matched) - set(moved)))
    execute(
        Operation.insert(
            id=operation_id, workspace_id=workspace_id, kind=kind, filters=dict(filters), status="finished",
            matched=len(matched), done=len(moved), conflicts=conflicts, actor_name=actor_name, finished_at=now(),
        )
    )  # fmt: skip
    return operation_id


class _StatusRow(TypedDict):
    id: str
    status: Status


def _describe_conflicts(execution_ids: Sequence[str]) -> list[BulkConflict]:
    if not execution_ids:
        return []
    query = Execution.select(Execution.id, Execution.status).where(is_any(Execution.id, execution_ids))
    rows = fetch(_StatusRow, query.order_by(Execution.id))
    return [{"executionId": row["id"], "status": row["status"]} for row in rows]


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
