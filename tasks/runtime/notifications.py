"""Notifies for rows that a statement made due, each on the queue that the row names, at once or after the commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import dramatiq

from ephemeral import rates
from models.database import db
from models.engine.rows import DueRow
from tasks.runtime.broker import BROKER_ERRORS, notify, report_lost_notifications


def notify_rows(rows: Sequence[DueRow], *, rescued: bool = False) -> int:
    """Enqueue a notification for each row (`id`, `queue`); return how many reached Redis."""
    by_queue: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_queue[row["queue"]].append(row["id"])
        rates.count_in(row["workspace_id"], row["queue"])
    return sum(notify(queue, ids, rescued=rescued) for queue, ids in by_queue.items())


def notify_after_commit(rows: Sequence[DueRow]) -> None:
    """Notify for each row once the outermost transaction of this thread is durable."""
    if rows:
        db.after_commit(lambda: notify_rows(rows))


def enqueue_actor(queue: str, actor: str, *row_ids: str) -> None:
    """Enqueue one message for an actor of rows other than executions; if Redis is unavailable, a sweep repeats it."""
    rates.count_in(rates.ALL_WORKSPACES, queue)
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=queue, actor_name=actor, args=row_ids, kwargs={}, options={}
    )
    try:
        dramatiq.get_broker().enqueue(message)
    except BROKER_ERRORS as error:
        report_lost_notifications(1, error, actor=actor, row_ids=row_ids)


def enqueue_after_commit(queue: str, actor: str, row_ids: Sequence[str]) -> None:
    """Enqueue one message for each row, as `enqueue_actor` does, once the outermost transaction is durable."""
    for row_id in row_ids:
        db.after_commit(partial(enqueue_actor, queue, actor, row_id))
