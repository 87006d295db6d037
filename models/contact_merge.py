"""Merges two contacts of a workspace: what belongs to the one goes over to the other.

The target keeps its names, addresses and attributes, and takes those that it lacks; tags and suppressions are united.
Executions in flight go on for the target. The merged row stays, deleted, and names the target, so that its id keeps
answering. What a worker records meanwhile of an execution of the merged contact is recorded for the target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import peewee
from peewee import SQL, fn
from psycopg2.errors import DeadlockDetected, LockNotAvailable

from models import audit
from models.audit import AuditActor
from models.contact_matching import CONTACT_COLUMNS, PLAIN_FIELDS, ContactRow
from models.database import acting_as, unwrap_driver_error
from models.errors import Conflict, NotFound
from models.expressions import acting_workspace, any_of, is_any, now
from models.queries import call, execute, fetch, fetch_value
from models.tables import Contact, Execution, Message, WorkflowVersion
from rules.contact_limits import find_excess

#: How long a merge waits for a lock before it begins anew: shorter than PostgreSQL looks for deadlocks, so that never a
#: worker is ended for a merge.
LOCK_TIMEOUT_MS = 500
MAX_TRIES = 10
#: How long the rows of a contact may take.
TIMEOUT_MS = 300_000
_MISSING = "There is no contact with that id."
_BUSY = "One of the contacts is being changed by other requests. Try again."
#: Entering again is refused while an execution is in flight, or for good.
_SINGLE_ENTRY = ("after_finish", "once")


class _Row(ContactRow):
    sample: bool
    deleted: bool
    merged_into: str | None


class _InFlightRow(TypedDict):
    id: str
    automation_id: str
    contact_id: str
    reentry: str | None


@dataclass(frozen=True)
class MergedContact:
    """What a merge did: executions that went over, and those that were cancelled because both were in flight."""

    executions: int
    cancelled: int


def merge(
    workspace_id: str, source_id: str, target_id: str, actor: AuditActor, cancel: Callable[[Sequence[str]], int]
) -> MergedContact:
    """Merge a contact into another, in one transaction; `cancel` ends the younger executions of both in it.

    Raises `NotFound` with the path `into` where the target is the missing one, and `Conflict`.
    """
    for _ in range(MAX_TRIES):
        try:
            return _merge(workspace_id, source_id, target_id, actor, cancel)
        except peewee.OperationalError as error:
            if not isinstance(unwrap_driver_error(error), LockNotAvailable | DeadlockDetected):
                raise
    raise Conflict(_BUSY, retry_after=1)


def _merge(
    workspace_id: str, source_id: str, target_id: str, actor: AuditActor, cancel: Callable[[Sequence[str]], int]
) -> MergedContact:
    with acting_as(workspace_id):
        execute("select set_config('statement_timeout', %s, true)", (str(TIMEOUT_MS),))
        execute("select set_config('lock_timeout', %s, true)", (str(LOCK_TIMEOUT_MS),))
        in_flight = _lock_in_flight(source_id, target_id)
        source, target = _lock(source_id, target_id)
        merged = _unite(source, target)
        cancelled = cancel(_find_younger(in_flight))
        # Its addresses become free before the target takes them.
        execute(Contact.update(deleted_at=now(), merged_into=target_id).where(Contact.id == source_id))
        execute(Contact.update(merged_into=target_id).where(Contact.merged_into == source_id))
        users = (source["external_id"], merged["external_id"])
        moved = int(fetch_value(call(fn.move_contact_rows(_as_id(source_id), _as_id(target_id), *users))))
        _store(source_id, target_id, merged)
        detail = {"into": target_id, "executions": moved, "cancelled": cancelled}
        audit.record(workspace_id, actor, "contact.merged", "contact", source_id, detail)
    return MergedContact(moved, cancelled)


def _as_id(contact_id: str) -> Any:
    return peewee.Value(contact_id).cast("uuid")


def _lock_in_flight(source_id: str, target_id: str) -> list[_InFlightRow]:
    """Lock the executions in flight of both contacts, and return those that are no tests.

    They are locked before the contacts, as workers lock them. One of unknown outcome is in flight while its message is
    still being looked up.
    """
    is_looked_up = Message.select(SQL("1")).where(
        Message.execution_id == Execution.id, Message.look_up_at.is_null(False)
    )
    in_flight = any_of(
        Execution.finished_at.is_null(),
        (Execution.status == "failed") & (Execution.error_class == "unknown_outcome") & fn.exists(is_looked_up),
    )
    query = (
        Execution.select(
            Execution.id, Execution.automation_id, Execution.contact_id,
            WorkflowVersion.definition.extract_text("rules", "reentry").alias("reentry"), Execution.test,
        )
        .join(WorkflowVersion, on=WorkflowVersion.id == Execution.version_id)
        .where(
            Execution.workspace_id == acting_workspace(), is_any(Execution.contact_id, [source_id, target_id]),
            in_flight,
        )
        .order_by(Execution.id)
        .for_update(of=Execution)
    )  # fmt: skip
    return [row for row in fetch(_LockedRow, query) if not row["test"]]


class _LockedRow(_InFlightRow):
    test: bool


def _find_younger(in_flight: Sequence[_InFlightRow]) -> list[str]:
    """Return the executions that could not have entered beside an older one of the other contact."""
    younger = []
    for automation_id in {row["automation_id"] for row in in_flight}:
        rows = [row for row in in_flight if row["automation_id"] == automation_id]
        if len({row["contact_id"] for row in rows}) > 1:
            younger += [row["id"] for row in rows[1:] if row["reentry"] in _SINGLE_ENTRY]
    return sorted(younger)


def _lock(source_id: str, target_id: str) -> tuple[_Row, _Row]:
    """Lock both contacts in the order of their ids. Raises `NotFound` and `Conflict`."""
    query = Contact.select(
        *CONTACT_COLUMNS, Contact.sample, Contact.merged_into, Contact.deleted_at.is_null(False).alias("deleted")
    ).where(Contact.workspace_id == acting_workspace(), is_any(Contact.id, [source_id, target_id]))
    rows = {row["id"]: row for row in fetch(_Row, query.order_by(Contact.id).for_update())}
    source, target = rows.get(source_id), rows.get(target_id)
    for row in (source, target):
        if row is not None and row["merged_into"] is not None:
            path = "into" if row is target else None
            raise Conflict(f"The contact {row['id']} is merged into {row['merged_into']}.", path)
    if source is None or source["deleted"]:
        raise NotFound(_MISSING)
    if source_id == target_id:
        raise Conflict("A contact cannot be merged into itself.", "into")
    if target is None or target["deleted"]:
        raise NotFound("There is no contact to merge into with that id.")
    if source["sample"] or target["sample"]:
        raise Conflict("A sample contact cannot be merged.")
    return source, target


def _unite(source: _Row, target: _Row) -> ContactRow:
    """Return the merged contact. Raises `Conflict` where it would have more than a contact may."""
    merged: dict[str, Any] = {name: target[name] or source[name] for name in PLAIN_FIELDS}
    merged |= {
        "id": target["id"],
        "tags": list(dict.fromkeys([*target["tags"], *source["tags"]])),
        "attributes": {**source["attributes"], **target["attributes"]},
    }
    excess = find_excess(target, merged)
    if excess:
        raise Conflict(f"They cannot be merged: {excess.message}", excess.field)
    return merged  # type: ignore[return-value]


def _store(source_id: str, target_id: str, merged: Mapping[str, Any]) -> None:
    other = Contact.alias()
    newest = other.select(fn.max(other.last_event_at)).where(is_any(other.id, [source_id, target_id]))
    fields = {name: merged[name] for name in (*PLAIN_FIELDS, "tags", "attributes")}
    execute(Contact.update(**fields, last_event_at=newest, updated_at=now()).where(Contact.id == target_id))


def find_target(workspace_id: str, contact_id: str) -> str | None:
    """Return the contact that this one is merged into, or None."""
    query = Contact.select(Contact.merged_into).where(Contact.workspace_id == workspace_id, Contact.id == contact_id)
    with acting_as(workspace_id):
        target_id: str | None = fetch_value(query)
    return target_id
