"""Accepts executions of playbooks: the requests of one moment are stored by one commit, before each is answered.

The tracking program records them (`tasks/intake/tracking_records.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from ephemeral import tracking_notices
from ephemeral.connection import ERRORS as REDIS_ERRORS
from models import tracking_intake
from models.engine.group_door import GroupDoor
from models.ids import new_id
from rules.json_text import dump_storable_json
from rules.tracking import TrackedExecution
from tasks.runtime.broker import report_lost_notifications
from tasks.runtime.notifications import enqueue_actor

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer for one execution. `duplicate`: its id was used within 90 days, and nothing was stored."""

    execution_id: str
    duplicate: bool


def accept(workspace_id: str, site_key_id: str | None, executions: Sequence[TrackedExecution]) -> list[Acceptance]:
    """Store executions; they are durable when this returns. Of two with the same id the first is stored.

    Raises the database's connection errors while PostgreSQL is unavailable or too much is waiting.
    """
    if not executions:
        return []
    ids = [new_id() for _ in executions]
    entries = [
        {
            "id": row_id,
            "workspace_id": workspace_id,
            "site_key_id": site_key_id,
            "execution_id": execution.execution_id,
            "body": execution,
        }
        for row_id, execution in zip(ids, executions, strict=True)
    ]
    duplicates = _door.submit(dump_storable_json(entries)[1:-1])
    return [
        Acceptance(execution.execution_id, row_id in duplicates)
        for row_id, execution in zip(ids, executions, strict=True)
    ]


def _store(entries: list[str]) -> list[set[str]]:
    """Store the entries of several requests, each a JSON list without its brackets."""
    duplicates = tracking_intake.store(f"[{','.join(entries)}]")
    return [duplicates] * len(entries)


def _notify() -> None:
    """Notify the tracking program, unless a notification is already waiting."""
    try:
        if tracking_notices.mark():
            enqueue_actor("tracking", "record_tracked_executions")
    except REDIS_ERRORS as error:
        report_lost_notifications(1, error, actor="record_tracked_executions")


_door = GroupDoor(_store, measure=len, after_write=_notify)
