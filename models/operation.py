"""Bulk actions of operators: which executions each would move, and the record of its progress.

An operation acts on the executions that matched when it started, each once: they are stored with it, and a batch
deletes its executions in the transaction that moves them. One that can no longer be moved is a conflict; one that
matches later is not included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict

import peewee
from peewee import SQL, Case, fn

from models.audit import AuditActor
from models.database import acting_as
from models.execution import is_cancellable, is_discardable, is_retryable
from models.expressions import build_seconds, is_any, is_locked, now
from models.ids import new_id
from models.queries import count, execute, fetch, fetch_first, fetch_values
from models.selection import Selection
from models.tables import Execution, Message, Operation, OperationExecution
from models.tables.workspaces import AuditActorKind, OperationKind, OperationStatus, RetryVersion
from rules.json_text import dump_storable_json
from rules.stages import Status

#: Maximum number of conflicts that an operation lists; the others are counted.
MAX_CONFLICTS = 1_000
#: How long the executions of an operation may take to be stored.
START_TIMEOUT_MS = 300_000


class BulkConflict(TypedDict, total=False):
    """An execution that matched and was not moved: its status, and where it has another cause, the reason.

    Of an import it is a problem of a rejected row.
    """

    executionId: str
    status: Status
    reason: str
    line: int
    field: str
    message: str
    merge: dict[str, str]


class OperationRow(TypedDict):
    """A bulk action: of `matched` executions it has moved `done`, and could not move `conflict_count`."""

    id: str
    kind: OperationKind
    filters: dict[str, Any]
    status: OperationStatus
    version: RetryVersion | None
    matched: int
    done: int
    conflicts: list[BulkConflict]
    conflict_count: int
    actor_name: str
    created_at: datetime
    finished_at: datetime | None
    counts: dict[str, int]


class StartedOperation(TypedDict):
    """What a batch needs to know of its operation."""

    id: str
    workspace_id: str
    kind: OperationKind
    filters: dict[str, Any]
    version: RetryVersion | None
    matched: int
    actor_kind: AuditActorKind
    actor_id: str | None
    actor_name: str
    counts: dict[str, int]


class OperationOwner(TypedDict):
    """The workspace of an operation, and what it does."""

    workspace_id: str
    kind: OperationKind


def _is_unknown() -> peewee.Expression:
    is_unknown: peewee.Expression = (Execution.status == "failed") & (Execution.error_class == "unknown_outcome")
    messages = Message.select(SQL("1")).where(Message.execution_id == Execution.id, Message.status == "outcome_unknown")
    return is_unknown & fn.exists(messages)


#: Which executions each action can move; the same conditions as in the moves themselves.
MOVABLE = {
    "retry": is_retryable, "cancel": is_cancellable, "discard": is_discardable, "sent": _is_unknown,
    "resend": _is_unknown, "look_up": _is_unknown,
}  # fmt: skip


def count_matching(action: OperationKind, selection: Selection) -> int:
    """Count the executions that the action would move."""
    return count(Execution.select().where(selection.condition, MOVABLE[action]()))


def start(
    workspace_id: str,
    kind: OperationKind,
    filters: Mapping[str, Any],
    selection: Selection,
    actor: AuditActor,
    version: RetryVersion | None = None,
) -> StartedOperation:
    """Record a bulk action with the executions that match now; it has moved none yet."""
    operation_id = insert(workspace_id, kind, filters, actor, version)
    matching = Execution.select(SQL("%s::uuid", (operation_id,)), Execution.id, Execution.workspace_id).where(
        selection.condition, MOVABLE[kind]()
    )
    columns = [OperationExecution.operation_id, OperationExecution.execution_id, OperationExecution.workspace_id]
    # A million executions take half a minute to store; what follows in this transaction is short.
    execute("select set_config('statement_timeout', %s, true)", (str(START_TIMEOUT_MS),))
    matched = execute(OperationExecution.insert_from(matching, columns))
    execute(Operation.update(matched=matched).where(Operation.id == operation_id))
    return {
        "id": operation_id, "workspace_id": workspace_id, "kind": kind, "filters": dict(filters), "version": version,
        "matched": matched, "actor_kind": actor.kind, "actor_id": actor.id, "actor_name": actor.name,
        "counts": {},
    }  # fmt: skip


def insert(
    workspace_id: str,
    kind: OperationKind,
    filters: Mapping[str, Any],
    actor: AuditActor,
    version: RetryVersion | None = None,
    matched: int = 0,
) -> str:
    """Insert a running operation that has done nothing yet; return its id."""
    operation_id = new_id()
    execute(
        Operation.insert(
            id=operation_id, workspace_id=workspace_id, kind=kind, filters=dict(filters), status="running",
            matched=matched, actor_name=actor.name, actor_kind=actor.kind, actor_id=actor.id, version=version,
        )
    )  # fmt: skip
    return operation_id


def find_owner(operation_id: str) -> OperationOwner | None:
    """Return whose an operation of any workspace is, and its kind, or None."""
    query = Operation.select(Operation.workspace_id, Operation.kind)
    return fetch_first(OperationOwner, query.where(Operation.id == operation_id))


def lock_running(operation_id: str) -> StartedOperation | None:
    """Lock an operation until the transaction ends; None if it is finished, or another process moves a batch of it."""
    query = Operation.select(
        Operation.id, Operation.workspace_id, Operation.kind, Operation.filters, Operation.version, Operation.matched,
        Operation.actor_kind, Operation.actor_id, Operation.actor_name, Operation.counts,
    )  # fmt: skip
    is_running = (Operation.id == operation_id) & (Operation.status == "running")
    return fetch_first(StartedOperation, query.where(is_running).for_update(skip_locked=True))


def list_next(operation_id: str, limit: int) -> list[str]:
    """Return the next executions of an operation, in the order of their ids."""
    query = OperationExecution.select(OperationExecution.execution_id).where(
        OperationExecution.operation_id == operation_id
    )
    return fetch_values(query.order_by(OperationExecution.execution_id).limit(limit))


def record_batch(
    operation_id: str, batch: Sequence[str], moved: Sequence[str], reasons: Mapping[str, str]
) -> OperationRow:
    """Record a batch in the transaction that moved it: what was not moved is a conflict, with its reason if it has one.

    The operation finishes with its last batch.
    """
    execute(
        OperationExecution.delete().where(
            OperationExecution.operation_id == operation_id, is_any(OperationExecution.execution_id, batch)
        )
    )
    conflicts = _describe_conflicts(sorted(set(batch) - set(moved)), reasons)
    left = OperationExecution.select(SQL("1")).where(OperationExecution.operation_id == operation_id)
    return record_progress(operation_id, len(moved), conflicts, len(conflicts), left)


def record_progress(
    operation_id: str,
    done: int,
    conflicts: Sequence[BulkConflict],
    conflict_count: int,
    left: peewee.ModelSelect[Any],
    counts: Mapping[str, int] | None = None,
) -> OperationRow:
    """Add to what an operation has done; it finishes where `left` has no row. `counts` replaces its counts."""
    is_left = fn.exists(left)
    execute(
        Operation.update(
            done=Operation.done + done,
            conflict_count=Operation.conflict_count + conflict_count,
            conflicts=_extend_conflicts(conflicts),
            progressed_at=now(),
            status=Case(None, [(is_left, "running")], "finished"),
            finished_at=Case(None, [(is_left, None)], now()),
            **({} if counts is None else {"counts": dict(counts)}),
        ).where(Operation.id == operation_id)
    )
    row = _get(Operation.id == operation_id)
    assert row is not None
    return row


def add_conflicts(operation_id: str, conflicts: Sequence[BulkConflict]) -> None:
    """Add conflicts between two batches."""
    execute(
        Operation.update(
            conflict_count=Operation.conflict_count + len(conflicts), conflicts=_extend_conflicts(conflicts)
        ).where(Operation.id == operation_id)
    )


def _extend_conflicts(conflicts: Sequence[BulkConflict]) -> peewee.Case:
    is_full = fn.jsonb_array_length(Operation.conflicts) >= MAX_CONFLICTS
    listed = peewee.Value(dump_storable_json(conflicts[:MAX_CONFLICTS]), converter=str).cast("jsonb")
    return Case(None, [(is_full, Operation.conflicts)], peewee.Expression(Operation.conflicts, "||", listed))


class _StatusRow(TypedDict):
    id: str
    status: Status


def _describe_conflicts(execution_ids: Sequence[str], reasons: Mapping[str, str]) -> list[BulkConflict]:
    if not execution_ids:
        return []
    query = Execution.select(Execution.id, Execution.status).where(is_any(Execution.id, execution_ids))
    rows = fetch(_StatusRow, query.order_by(Execution.id))
    return [_describe_conflict(row, reasons.get(row["id"])) for row in rows]


def _describe_conflict(row: _StatusRow, reason: str | None) -> BulkConflict:
    conflict: BulkConflict = {"executionId": row["id"], "status": row["status"]}
    return {**conflict, "reason": reason} if reason else conflict


def claim_unattended(older_than_seconds: float, limit: int) -> list[str]:
    """Return running operations without a batch for so long, those that wait longest first; each is returned once in
    that time."""
    unattended = (
        Operation.select(Operation.id)
        .where(Operation.status == "running", Operation.progressed_at < now() - build_seconds(older_than_seconds))
        .order_by(Operation.progressed_at)
        .limit(limit)
        .for_update(skip_locked=True)
        .cte("unattended", materialized=True)
    )
    query = Operation.update(progressed_at=now()).from_(unattended).where(is_locked(Operation.id, unattended))
    return fetch_values(query.returning(Operation.id).with_cte(unattended))


def _get(condition: peewee.Expression) -> OperationRow | None:
    query = Operation.select(
        Operation.id, Operation.kind, Operation.filters, Operation.status, Operation.version, Operation.matched,
        Operation.done, Operation.conflicts, Operation.conflict_count, Operation.actor_name, Operation.created_at,
        Operation.finished_at, Operation.counts,
    )  # fmt: skip
    return fetch_first(OperationRow, query.where(condition))


def get(workspace_id: str, operation_id: str) -> OperationRow | None:
    """Return one bulk action of the workspace."""
    with acting_as(workspace_id):
        return _get((Operation.workspace_id == workspace_id) & (Operation.id == operation_id))


#: How an action reads in the log: `executions.retry`, or `messages.sent` for messages of unknown outcome.
AUDIT_SUBJECTS: dict[OperationKind, Literal["executions", "messages"]] = {
    "retry": "executions", "cancel": "executions", "discard": "executions", "sent": "messages", "resend": "messages",
    "look_up": "messages",
}  # fmt: skip
