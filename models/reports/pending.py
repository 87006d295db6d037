"""Due executions that wait for a worker, longest first, in all stages."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from peewee import JOIN, fn

from models.database import acting_as
from models.expressions import now
from models.queries import fetch
from models.tables import Automation, Contact, Execution
from rules.stages import Queue, Stage, Status


class DueRow(TypedDict):
    """A due execution."""

    id: str
    automation_id: str
    automation_name: str
    contact_id: str | None
    contact_name: str | None
    status: Status
    stage: Stage
    queue: Queue
    due_at: datetime
    overdue_seconds: float


def list_due(workspace_id: str, limit: int) -> list[DueRow]:
    """Return at most `limit` due executions of a workspace."""
    name = fn.trim(fn.concat_ws(" ", Contact.first_name, Contact.last_name))
    query = (
        Execution.select(
            Execution.id, Execution.automation_id, Automation.name.alias("automation_name"), Execution.contact_id,
            fn.nullif(name, "").alias("contact_name"), Execution.status, Execution.stage, Execution.queue,
            Execution.due_at, fn.date_part("epoch", now() - Execution.due_at).alias("overdue_seconds"),
        )
        .join(Automation, on=Automation.id == Execution.automation_id)
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == Execution.contact_id)
        .where(
            Execution.workspace_id == workspace_id,
            Execution.status.in_(("pending", "waiting")),
            Execution.due_at <= now(),
        )
        .order_by(Execution.due_at, Execution.id)
        .limit(limit)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(DueRow, query)
