"""The audit log: every manual change, its actor and its object. Rows are inserted and read, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from models.database import acting_as
from models.ids import new_id
from models.queries import execute, fetch
from models.tables import AuditEntry
from models.tables.workspaces import ActorKind


@dataclass(frozen=True)
class AuditActor:
    """The author of a change: a signed-in person, a program with a key, the `beckon` command, or Beckon itself."""

    kind: ActorKind
    id: str | None
    name: str


#: Beckon itself, such as at a first start.
SYSTEM = AuditActor("system", None, "Beckon")


class AuditEntryRow(TypedDict):
    """An entry: who changed which object, how and when."""

    id: str
    actor_kind: ActorKind
    actor_id: str | None
    actor_name: str
    action: str
    object_kind: str
    object_id: str
    detail: dict[str, Any]
    at: datetime


def record(
    workspace_id: str,
    actor: AuditActor,
    action: str,
    object_kind: str,
    object_id: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write one entry in the caller's transaction; `action` is a name such as `automation.published`."""
    with acting_as(workspace_id):
        execute(
            AuditEntry.insert(
                id=new_id(), workspace_id=workspace_id, actor_kind=actor.kind, actor_id=actor.id,
                actor_name=actor.name, action=action, object_kind=object_kind, object_id=object_id,
                detail=dict(detail or {}),
            )
        )  # fmt: skip


def fetch_page(workspace_id: str, limit: int, before: str | None = None) -> list[AuditEntryRow]:
    """Return at most `limit` entries, newest first, older than the entry with id `before`."""
    query = AuditEntry.select(
        AuditEntry.id, AuditEntry.actor_kind, AuditEntry.actor_id, AuditEntry.actor_name, AuditEntry.action,
        AuditEntry.object_kind, AuditEntry.object_id, AuditEntry.detail, AuditEntry.at,
    ).where(AuditEntry.workspace_id == workspace_id)  # fmt: skip
    if before is not None:
        query = query.where(AuditEntry.id < before)
    with acting_as(workspace_id):
        return fetch(AuditEntryRow, query.order_by(AuditEntry.id.desc()).limit(limit))
