"""The audit log: every manual change, its actor and its object. Rows are inserted and read, never changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

import structlog
from peewee import Value

from models.database import acting_as, db
from models.ids import is_id, new_id
from models.queries import execute, fetch
from models.tables import AuditEntry
from models.tables.workspaces import AuditActorKind

log = structlog.get_logger(__name__)

#: The ends of actions after which work waits until somebody resumes it.
_PAUSES = (".paused", ".draining")


@dataclass(frozen=True)
class AuditActor:
    """The author of a change: a signed-in person, a program with a key, the `beckon` command, a contact, or Beckon
    itself."""

    kind: AuditActorKind
    id: str | None
    name: str


#: Beckon itself, such as at a first start.
SYSTEM = AuditActor("system", None, "Beckon")
#: The recipient of messages, by a word or on the page of their links. No address: the log outlives erasures.
RECIPIENT = AuditActor("contact", None, "The recipient")


@dataclass(frozen=True)
class AuditFilters:
    """Which entries to list: those that meet all that is given."""

    #: A part of the actor's name, or the actor's id.
    actor: str | None = None
    actor_kind: str | None = None
    #: An action's name, or the beginning of names that ends with a dot.
    action: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def build_conditions(self) -> Iterator[Any]:
        """Build one condition for each filter that is given."""
        if self.actor:
            by_id = (AuditEntry.actor_id == self.actor) if is_id(self.actor) else Value(False)
            yield by_id | AuditEntry.actor_name.contains(self.actor)
        if self.actor_kind:
            yield AuditEntry.actor_kind == self.actor_kind
        if self.action:
            is_kind = self.action.endswith(".")
            yield AuditEntry.action.startswith(self.action) if is_kind else AuditEntry.action == self.action
        if self.object_kind:
            yield AuditEntry.object_kind == self.object_kind
        if self.object_id:
            yield AuditEntry.object_id == self.object_id
        if self.since:
            yield AuditEntry.at >= self.since
        if self.until:
            yield AuditEntry.at < self.until


NO_FILTERS = AuditFilters()


class AuditEntryRow(TypedDict):
    """An entry: who changed which object, how and when."""

    id: str
    actor_kind: AuditActorKind
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
    *,
    execution_id: str | None = None,
) -> None:
    """Write one entry in the caller's transaction, and a line of the log once that commits; `action` is a name such as
    `automation.published`. `execution_id` is for the line, where the object belongs to an execution."""
    ids = {f"{object_kind}_id": object_id, "workspace_id": workspace_id}
    if execution_id is not None:
        ids["execution_id"] = execution_id
    db.after_commit(lambda: _log(action, actor, ids))
    with acting_as(workspace_id):
        execute(
            AuditEntry.insert(
                id=new_id(), workspace_id=workspace_id, actor_kind=actor.kind, actor_id=actor.id,
                actor_name=actor.name, action=action, object_kind=object_kind, object_id=object_id,
                detail=dict(detail or {}),
            )
        )  # fmt: skip


def _log(action: str, actor: AuditActor, ids: Mapping[str, str]) -> None:
    write = log.warning if action.endswith(_PAUSES) else log.info
    write("change recorded", action=action, actor=actor.kind, actor_id=actor.id, **ids)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detail of a change: `before` and `after` with the fields of `after` that differ."""
    changed = [name for name in after if before.get(name) != after[name]]
    return {
        "before": {name: before.get(name) for name in changed},
        "after": {name: after[name] for name in changed},
    }


def fetch_page(
    workspace_id: str, limit: int, before: str | None = None, filters: AuditFilters = NO_FILTERS
) -> list[AuditEntryRow]:
    """Return at most `limit` entries, newest first, older than the entry with id `before`."""
    query = AuditEntry.select(
        AuditEntry.id, AuditEntry.actor_kind, AuditEntry.actor_id, AuditEntry.actor_name, AuditEntry.action,
        AuditEntry.object_kind, AuditEntry.object_id, AuditEntry.detail, AuditEntry.at,
    ).where(AuditEntry.workspace_id == workspace_id)  # fmt: skip
    for condition in filters.build_conditions():
        query = query.where(condition)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    with acting_as(workspace_id):
        return fetch(AuditEntryRow, query.order_by(AuditEntry.id.desc()).limit(limit))
