"""Bulk actions of operators: how many executions each would move, and the record of what it moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg2.extras import Json

from models.database import Row, acting_as, execute, fetch_row, fetch_value
from models.ids import new_id

#: Which executions each action can move; the same conditions as in the moves themselves.
MOVABLE = {
    "retry": "e.stage = 'failed' and e.status in ('failed', 'waiting') "
    "and e.error_class is distinct from 'unknown_outcome'",
    "cancel": "e.status in ('pending', 'running', 'waiting')",
    "discard": "e.status = 'failed'",
}


def count_matching(action: str, condition: str, parameters: Sequence[Any]) -> int:
    """Count the executions that the action would move."""
    return int(fetch_value(f"select count(*) from executions e where ({condition}) and {MOVABLE[action]}", parameters))


def record(workspace_id: str, kind: str, filters: Mapping[str, Any], matched: int, done: int, actor_name: str) -> str:
    """Record a finished bulk action; return its id."""
    operation_id = new_id()
    execute(
        "insert into operations (id, workspace_id, kind, filters, status, matched, done, actor_name, finished_at) "
        "values (%s, %s, %s, %s, 'finished', %s, %s, %s, beckon_now())",
        (operation_id, workspace_id, kind, Json(dict(filters)), matched, done, actor_name),
    )
    return operation_id


def get(workspace_id: str, operation_id: str) -> Row | None:
    """Return one bulk action of the workspace."""
    with acting_as(workspace_id):
        return fetch_row(
            "select id, kind, filters, status, matched, done, conflicts, actor_name, created_at, finished_at "
            "from operations where workspace_id = %s and id = %s",
            (workspace_id, operation_id),
        )
