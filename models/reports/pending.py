"""Due executions that wait for a worker, longest first, in all stages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from peewee import JOIN, SQL, Tuple, fn

from models.database import acting_as
from models.expressions import now
from models.queries import fetch
from models.tables import Automation, Contact, Execution
from rules.stages import Queue, Stage, Status

#: The place of an execution in the order of all due ones: the time it is due, and its id.
Place = tuple[datetime, str]


class DueRow(TypedDict):
    """A due execution. `is_notified` tells whether a worker was notified since it is due."""

    id: str
    automation_id: str
    automation_name: str
    contact_id: str | None
    contact_name: str | None
    status: Status
    stage: Stage
    queue: Queue
    test: bool
    due_at: datetime
    overdue_seconds: float
    automation_paused: bool
    is_notified: bool


class QueueCount(TypedDict):
    """A queue's due executions, for how long the first has been due, and those that workers run."""

    queue: Queue
    due: int
    oldest_seconds: float | None
    running: int


class _Ahead(TypedDict):
    queue: Queue
    count: int


class _ProviderCount(TypedDict):
    provider: str
    count: int


def count_by_queue(workspace_id: str) -> dict[str, QueueCount]:
    """Count a workspace's executions that are due or run, by queue."""
    due, running = _is_due(), Execution.status == "running"
    query = (
        Execution.select(
            Execution.queue,
            fn.count(SQL("*")).filter(due).alias("due"),
            fn.date_part("epoch", now() - fn.min(Execution.due_at).filter(due)).alias("oldest_seconds"),
            fn.count(SQL("*")).filter(running).alias("running"),
        )
        .where(Execution.workspace_id == workspace_id, due | running)
        .group_by(Execution.queue)
    )
    with acting_as(workspace_id):
        return {row["queue"]: row for row in fetch(QueueCount, query)}


def count_waiting_by_provider(workspace_id: str) -> dict[str, int]:
    """Count a workspace's executions that wait for each provider: a pause, credentials, a limit or a retry."""
    query = (
        Execution.select(Execution.provider, fn.count(SQL("*")).alias("count"))
        .where(
            Execution.workspace_id == workspace_id,
            Execution.status == "waiting",
            Execution.provider.is_null(False),
            ~Execution.test,
        )
        .group_by(Execution.provider)
    )
    with acting_as(workspace_id):
        return {row["provider"]: row["count"] for row in fetch(_ProviderCount, query)}


def list_due(workspace_id: str, limit: int, queue: str | None = None, after: Place | None = None) -> list[DueRow]:
    """Return at most `limit` due executions of a workspace, of one queue or all, after a place in their order."""
    name = fn.trim(fn.concat_ws(" ", Contact.first_name, Contact.last_name))
    query = (
        Execution.select(
            Execution.id, Execution.automation_id, Automation.name.alias("automation_name"), Execution.contact_id,
            fn.nullif(name, "").alias("contact_name"), Execution.status, Execution.stage, Execution.queue,
            Execution.test, Execution.due_at,
            fn.date_part("epoch", now() - Execution.due_at).alias("overdue_seconds"),
            Automation.paused_at.is_null(False).alias("automation_paused"),
            (Execution.notified_at >= Execution.due_at).alias("is_notified"),
        )
        .join(Automation, on=Automation.id == Execution.automation_id)
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == Execution.contact_id)
        .where(Execution.workspace_id == workspace_id, _is_due())
        .order_by(Execution.due_at, Execution.id)
        .limit(limit)
    )  # fmt: skip
    if queue is not None:
        query = query.where(Execution.queue == queue)
    if after is not None:
        query = query.where(Tuple(Execution.due_at, Execution.id) > Tuple(*after))
    with acting_as(workspace_id):
        return fetch(DueRow, query)


def count_ahead(workspace_id: str, place: Place) -> dict[str, int]:
    """Count, by queue, the due executions up to a place in their order."""
    query = (
        Execution.select(Execution.queue, fn.count(SQL("*")).alias("count"))
        .where(
            Execution.workspace_id == workspace_id,
            _is_due(),
            Tuple(Execution.due_at, Execution.id) <= Tuple(*place),
        )
        .group_by(Execution.queue)
    )
    with acting_as(workspace_id):
        return {row["queue"]: row["count"] for row in fetch(_Ahead, query)}


def _is_due() -> Any:
    return Execution.status.in_(("pending", "waiting")) & (Execution.due_at <= now())
