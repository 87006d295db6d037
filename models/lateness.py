"""How late executions are: now, and over the last eight days by minute.

Late is what is due and not taken by a worker, and what a provider's refused credentials keep from being sent. What an
operator has paused is not late. Tests are not counted.

The scheduler samples all workspaces each minute with one statement over the partial indexes of due and of waiting
executions, and writes a row only where something is late: a missing row means that nothing was.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypedDict

import peewee
from peewee import EXCLUDED, SQL, fn

from models.database import acting_as, transaction
from models.expressions import is_distinct_from, now
from models.queries import execute, fetch, fetch_value
from models.tables import Execution, LatenessSample

#: A due execution is taken within a second or two; below this, a sample is not written.
MIN_SECONDS = 10
KEEP_DAYS = 8
_COUNT = fn.count(SQL("*"))


class SampleRow(TypedDict):
    """The longest delay at a minute."""

    at: datetime
    oldest_seconds: int


class Lateness(TypedDict):
    """How late executions are now: the longest delay of the due ones and of those that refused credentials hold."""

    due_seconds: int
    held_seconds: int


def sample() -> int:
    """Record how late every workspace is at this minute; return how many are late. Twice in a minute keeps the worse
    sample."""
    late = _select_late().alias("late")
    seconds = fn.floor(fn.date_part("epoch", now() - fn.min(late.c.since))).cast("integer")
    minute = fn.date_trunc("minute", now())
    rows = peewee.Select([late], [late.c.workspace_id, minute, seconds, _COUNT]).group_by(late.c.workspace_id)
    sampled = (LatenessSample.oldest_seconds, LatenessSample.late)
    insertion = LatenessSample.insert_from(rows, [LatenessSample.workspace_id, LatenessSample.at, *sampled])
    worse = {column: fn.greatest(column, getattr(EXCLUDED, column.column_name)) for column in sampled}
    with transaction():
        return execute(
            insertion.on_conflict(conflict_target=(LatenessSample.workspace_id, LatenessSample.at), update=worse)
        )


def remove_old() -> int:
    """Remove the samples older than eight days; return how many."""
    with transaction():
        return execute(LatenessSample.delete().where(LatenessSample.at < now() - timedelta(days=KEEP_DAYS)))


def _select_late() -> Any:
    due = Execution.select(Execution.workspace_id, Execution.due_at.alias("since")).where(
        Execution.status.in_(("pending", "waiting")),
        Execution.due_at < now() - timedelta(seconds=MIN_SECONDS),
        is_distinct_from(Execution.waiting_for, "configuration"),
        ~Execution.test,
    )
    held = Execution.select(Execution.workspace_id, Execution.stage_since.alias("since")).where(
        Execution.status == "waiting", Execution.waiting_for == "configuration", ~Execution.test
    )
    return due.union_all(held)


def list_samples(workspace_id: str, since: datetime) -> list[SampleRow]:
    """Return a workspace's samples after `since`, oldest first."""
    query = LatenessSample.select(LatenessSample.at, LatenessSample.oldest_seconds).where(
        LatenessSample.workspace_id == workspace_id, LatenessSample.at >= since
    )
    with acting_as(workspace_id):
        return fetch(SampleRow, query.order_by(LatenessSample.at))


def fetch_lateness(workspace_id: str) -> Lateness:
    """Return how late a workspace's executions are now, in seconds; 0 without any."""
    conditions = {
        "due_seconds": (
            Execution.due_at,
            Execution.status.in_(("pending", "waiting"))
            & (Execution.due_at < now())
            & is_distinct_from(Execution.waiting_for, "configuration"),
        ),
        "held_seconds": (
            Execution.stage_since,
            (Execution.status == "waiting") & (Execution.waiting_for == "configuration"),
        ),
    }
    with acting_as(workspace_id):
        seconds = {
            name: int(fetch_value(_select_longest(workspace_id, since, condition)))
            for name, (since, condition) in conditions.items()
        }
    return {"due_seconds": seconds["due_seconds"], "held_seconds": seconds["held_seconds"]}


def _select_longest(workspace_id: str, since: Any, condition: Any) -> Any:
    longest = fn.floor(fn.date_part("epoch", now() - fn.min(since)))
    return Execution.select(fn.coalesce(longest, 0)).where(
        Execution.workspace_id == workspace_id, ~Execution.test, condition
    )
