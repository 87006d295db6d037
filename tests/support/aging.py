"""Moves executions into the past, ids included: their ids say in which month's partition they are."""

from __future__ import annotations

import uuid

from models.queries import execute, fetch_value
from tests.support.rows import fetch_rows

_COLUMNS = (
    ("executions", "id"), ("steps", "execution_id"), ("messages", "execution_id"), ("stage_history", "execution_id"),
)  # fmt: skip
_MONTH = "date_trunc('month', beckon_now() - make_interval(days => %(days)s), 'UTC')"
_CREATE_MONTH = f"""
    select create_partition(t, t || to_char({_MONTH}, '_YYYY_MM'), {_MONTH}, {_MONTH} + interval '1 month')
    from unnest(array['executions', 'steps', 'stage_history']) t
"""


def older(id: str, days: int) -> str:
    """Return the id with a time `days` days earlier."""
    return str(uuid.UUID(int=uuid.UUID(id).int - (days * 86_400_000 << 80)))


def age_executions(days: int) -> None:
    """Move all executions, with their rows and triggers, `days` days into the past."""
    for row in fetch_rows("select id from executions"):
        for table, column in _COLUMNS:
            execute(f"update {table} set {column} = %s where {column} = %s", (older(row["id"], days), row["id"]))
        execute(
            "update triggers set answer = replace(answer::text, %s, %s)::jsonb", (row["id"], older(row["id"], days))
        )
    execute(
        "update executions set created_at = created_at - make_interval(days => %(days)s), "
        "stage_since = stage_since - make_interval(days => %(days)s), "
        "finished_at = finished_at - make_interval(days => %(days)s)",
        {"days": days},
    )
    execute("update stage_history set entered_at = entered_at - make_interval(days => %s)", (days,))
    execute("update triggers set created_at = created_at - make_interval(days => %s)", (days,))


def create_month(days_ago: int) -> str:
    """Create the partitions of executions and their rows for the month so many days ago; return that of executions."""
    execute(_CREATE_MONTH, {"days": days_ago})
    return str(fetch_value(f"select 'executions_' || to_char({_MONTH}, 'YYYY_MM')", {"days": days_ago}))
