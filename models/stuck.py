"""Which executions are stuck: the one definition, for the overview, its lists and its counts.

An execution is stuck when it does not move and somebody may have to act:

- it is due, or its worker's lease has ended, for longer than two minutes and no worker takes it;
- it waits for a provider's credentials or for the end of a pause;
- it waits for an approval;
- its outcome is unknown.

Waits of a workflow, active hours and automatic retries are not stuck: their time is known. Failed executions are not
stuck either: they are at rest, and the failures list them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import peewee

from models.expressions import acting_workspace, now
from models.tables import Execution

#: How long an execution may be due before it counts as late: the alert line of the overview.
LATE_AFTER = timedelta(minutes=2)


def select_stuck(*columns: Any) -> Any:
    """Select `columns` of the stuck executions of the acting workspace, and `since` when each is stuck, last.

    One part for each reason, because each has a small partial index; the reasons exclude each other.
    """
    late = now() - LATE_AFTER
    parts = [
        _select(
            columns,
            Execution.due_at,
            Execution.status.in_(("pending", "waiting")),
            Execution.due_at < late,
            Execution.waiting_for.is_null() | Execution.waiting_for.not_in(("pause", "configuration", "review")),
        ),
        _select(columns, Execution.lease_until, Execution.status == "running", Execution.lease_until < late),
        _select(
            columns,
            Execution.stage_since,
            Execution.status == "waiting",
            Execution.waiting_for.in_(("pause", "configuration")),
        ),
        _select(columns, Execution.stage_since, Execution.status == "waiting", Execution.waiting_for == "review"),
        _select(
            columns, Execution.finished_at, Execution.status == "failed", Execution.error_class == "unknown_outcome"
        ),
    ]
    query = parts[0]
    for part in parts[1:]:
        query = query.union_all(part)
    return query


def _select(columns: tuple[Any, ...], since: Any, *conditions: Any) -> Any:
    return Execution.select(*columns, since.alias("since")).where(
        Execution.workspace_id == acting_workspace(), *conditions
    )


def build_stuck_condition() -> peewee.Expression:
    """Build the condition that an execution is stuck."""
    ids = select_stuck(Execution.id).alias("stuck")
    return Execution.id.in_(peewee.Select([ids], [ids.c.id]))
