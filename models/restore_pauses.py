"""The pause of every send after a restore from a backup: begun by `beckon up --paused`, ended by an operator.

All workspaces at once: the caller acts as the service.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TypedDict

import peewee
from peewee import fn

from models import execution
from models.engine.rows import DueRow
from models.expressions import now
from models.ids import new_id
from models.queries import execute, fetch, fetch_value, fetch_values
from models.selection import select_all
from models.tables import Pause, StageHistory, Workspace

#: Pauses written by one statement.
_BATCH_SIZE = 1000


class RestorePauseRow(TypedDict):
    """A workspace whose sends are paused after a restore, and whether it is the demo."""

    workspace_id: str
    demo: bool


def start(providers: Collection[str], message: str) -> list[str]:
    """Pause these providers in every workspace; return the ids of the workspaces. An operator's own pause stays."""
    workspace_ids: list[str] = fetch_values(Workspace.select(Workspace.id).order_by(Workspace.id))
    values = {"kind": "provider", "reason": "restore", "message": message}
    rows = [
        {**values, "id": new_id(), "workspace_id": workspace_id, "name": name}
        for workspace_id in workspace_ids
        for name in providers
    ]
    for begin in range(0, len(rows), _BATCH_SIZE):
        execute(
            Pause.insert_many(rows[begin : begin + _BATCH_SIZE]).on_conflict(
                conflict_target=(Pause.workspace_id, Pause.kind, Pause.name),
                update={Pause.reason: "restore", Pause.message: message, Pause.retry_at: None, Pause.created_at: now()},
                where=Pause.reason != "operator",
            )
        )
    return workspace_ids


def list_workspaces() -> list[RestorePauseRow]:
    """Return the workspaces whose sends are paused after a restore."""
    query = Pause.select(Pause.workspace_id, Workspace.demo).join(Workspace, on=Workspace.id == Pause.workspace_id)
    return fetch(RestorePauseRow, query.where(Pause.reason == "restore").distinct().order_by(Pause.workspace_id))


def fetch_start() -> datetime | None:
    """Return when the sends were paused; None where they are not."""
    at: datetime | None = fetch_value(Pause.select(fn.max(Pause.created_at)).where(Pause.reason == "restore"))
    return at


def end(workspace_id: str) -> list[DueRow]:
    """Resume a workspace's sends; return the executions that continue."""
    execute(Pause.delete().where(Pause.workspace_id == workspace_id, Pause.reason == "restore"))
    return execution.resume_paused(select_all())


def fetch_newest_send() -> datetime | None:
    """Return when the newest message to a contact was sent, by one index entry of each workspace; None without any."""
    newest = StageHistory.select(fn.max(StageHistory.entered_at)).where(
        StageHistory.workspace_id == Workspace.id, StageHistory.stage == "sent"
    )
    times = Workspace.select(newest.alias("at")).alias("times")
    at: datetime | None = fetch_value(peewee.Select([times], [fn.max(times.c.at)]))
    return at
