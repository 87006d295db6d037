"""Bulk actions of operators: on all executions that a filter matches, in batches that any process can continue.

An operation stores the executions that match when it starts (`models.operation`). A small one is finished within the
request; a larger one is moved by `tasks.operators.operation_runner`, a batch in each transaction, until none is left. A
killed process loses at most the batch that it had not committed; the sweep enqueues the operation again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

import metrics
from models import audit, execution, message, operation
from models.audit import AuditActor
from models.database import acting_as, db
from models.execution_filters import ExecutionFilters
from models.operation import MOVABLE, OperationRow, StartedOperation
from models.selection import select_many, select_matching
from models.tables.workspaces import OperationKind, RetryVersion
from providers.registry import SENDERS
from tasks.operators.actions import explain_no_look_up
from tasks.operators.version_moves import count_refusals, find_refusals, move_to_current
from tasks.runtime.notifications import enqueue_after_commit, notify_after_commit

log = structlog.get_logger(__name__)

#: What the metric of operators' actions calls each kind, as it calls the same action on one message.
METRIC_ACTIONS: dict[OperationKind, str] = {
    "retry": "retry", "cancel": "cancel", "discard": "discard", "look_up": "look_up",
    "sent": "resolve_sent", "resend": "resolve_resend", "import": "import",
}  # fmt: skip
#: Executions moved in one transaction. An operation with at most as many is finished within its request.
BATCH_SIZE = 500


@dataclass(frozen=True)
class BulkAction:
    """A bulk action: the name of its count in the API, and what it does to an execution, in the past tense."""

    count_field: str
    past: str


BULK_ACTIONS: dict[OperationKind, BulkAction] = {
    "retry": BulkAction("retried", "retried"),
    "cancel": BulkAction("cancelled", "cancelled"),
    "discard": BulkAction("discarded", "discarded"),
    "sent": BulkAction("resolved", "marked as sent"),
    "resend": BulkAction("resolved", "queued to be sent again"),
    "look_up": BulkAction("requested", "looked up"),
}


@dataclass(frozen=True)
class DryRun:
    """How many executions an action would move, and how many of these cannot move to the current version."""

    matched: int
    conflicts: int


def act_on_matching(
    workspace_id: str,
    action: OperationKind,
    filters: ExecutionFilters,
    actor: AuditActor,
    dry_run: bool,
    version: RetryVersion = "original",
) -> dict[str, Any]:
    """Act on every execution that the filters match and whose state allows it.

    Returns {"matched": n} for a dry run, else {"operationId", "matched", "status", "retried"}, the last named by
    `BULK_ACTIONS`: how many have been moved so far, all of them where `status` is "finished". Where a retry leaves out
    executions of unknown outcome, it returns how many in `unknown`.
    """
    unknown = count_unknown(workspace_id, filters) if action == "retry" else 0
    left_out = {"unknown": unknown} if unknown else {}
    if dry_run:
        counts = preview(workspace_id, action, filters, version)
        conflicts = {"conflicts": counts.conflicts} if version == "current" else {}
        return {"matched": counts.matched, **conflicts, **left_out}
    row = start(workspace_id, action, filters, actor, version)
    result = {"operationId": row["id"], "matched": row["matched"], "status": row["status"], **left_out}
    return {**result, BULK_ACTIONS[action].count_field: row["done"]}


def count_unknown(workspace_id: str, filters: ExecutionFilters) -> int:
    """Count the executions with a message of unknown outcome that the filters match."""
    if filters.outcome_unknown is False:
        return 0
    return preview(workspace_id, "sent", replace(filters, outcome_unknown=True)).matched


def preview(
    workspace_id: str, action: OperationKind, filters: ExecutionFilters, version: RetryVersion = "original"
) -> DryRun:
    """Count what `start` would do now; nothing changes."""
    selection = select_matching(filters)
    with acting_as(workspace_id):
        matched = operation.count_matching(action, selection)
        is_moving = action == "retry" and version == "current" and matched
        return DryRun(matched, count_refusals(selection.condition & MOVABLE[action]()) if is_moving else 0)


def start(
    workspace_id: str,
    action: OperationKind,
    filters: ExecutionFilters,
    actor: AuditActor,
    version: RetryVersion = "original",
) -> OperationRow:
    """Start an operation on what matches now, and finish it if it is small; return its progress."""
    retry_version = version if action == "retry" else None
    with acting_as(workspace_id):
        selection = select_matching(filters)
        started = operation.start(workspace_id, action, filters.as_json(), selection, actor, retry_version)
        if started["matched"] > BATCH_SIZE:
            enqueue_after_commit("tracking", "run_operation", [started["id"]])
            row = operation.get(workspace_id, started["id"])
            assert row is not None
            return row
        return _run_batch(started)


def run_next_batch(workspace_id: str, operation_id: str) -> bool:
    """Move the next batch of an operation; return whether another one is left for this process."""
    with acting_as(workspace_id):
        started = operation.lock_running(operation_id)
        return started is not None and _run_batch(started)["status"] == "running"


def _run_batch(started: StartedOperation) -> OperationRow:
    batch = operation.list_next(started["id"], BATCH_SIZE)
    reasons: dict[str, str] = {}
    moved = _MOVES[started["kind"]](started, batch, reasons)
    row = operation.record_batch(started["id"], batch, moved, reasons)
    db.after_commit(lambda: _log_batch(started, moved))
    if row["status"] == "finished":
        _record_end(started, row)
    return row


def _log_batch(started: StartedOperation, moved: Sequence[str]) -> None:
    log.info(
        "operation moved executions", action=started["kind"], operation_id=started["id"],
        workspace_id=started["workspace_id"], actor=started["actor_kind"], execution_ids=list(moved),
    )  # fmt: skip


def _record_end(started: StartedOperation, row: OperationRow) -> None:
    counts = {"filters": row["filters"], "matched": row["matched"], "done": row["done"]}
    extra = {"conflicts": row["conflict_count"]} if row["conflict_count"] else {}
    version = {"version": row["version"]} if row["version"] == "current" else {}
    audit.record(
        started["workspace_id"], AuditActor(started["actor_kind"], started["actor_id"], started["actor_name"]),
        f"{operation.AUDIT_SUBJECTS[row['kind']]}.{row['kind']}", "operation", row["id"],
        {**counts, **extra, **version},
    )  # fmt: skip
    metrics.operator_actions_total.labels(action=METRIC_ACTIONS[row["kind"]], result="done").inc()


# Each moves what it can of a batch, notes the reasons of conflicts, and returns the ids of what it moved.


def _retry(started: StartedOperation, batch: Sequence[str], reasons: dict[str, str]) -> list[str]:
    is_moving = started["version"] == "current"
    if is_moving:
        reasons |= find_refusals(select_many(batch))
    rows = execution.retry(select_many([execution_id for execution_id in batch if execution_id not in reasons]))
    notify_after_commit(move_to_current(rows) if is_moving else rows)
    metrics.retries_total.labels(kind="manual", reason="operator").inc(len(rows))
    return [row["id"] for row in rows]


def _cancel(started: StartedOperation, batch: Sequence[str], reasons: dict[str, str]) -> list[str]:
    return execution.cancel(select_many(batch), "cancelled", _describe(started))


def _discard(started: StartedOperation, batch: Sequence[str], reasons: dict[str, str]) -> list[str]:
    return execution.discard(select_many(batch), _describe(started))


def _describe(started: StartedOperation) -> dict[str, str]:
    past = BULK_ACTIONS[started["kind"]].past
    return {"words": f"{past.title()} by {started['actor_name']}.", "by": started["actor_name"]}


def _mark_sent(started: StartedOperation, batch: Sequence[str], reasons: dict[str, str]) -> list[str]:
    return _reopen(batch, lambda message_id: message.resolve_sent(message_id, None))


def _resend(started: StartedOperation, batch: Sequence[str], reasons: dict[str, str]) -> list[str]:
    return _reopen(batch, message.resolve_resend)


def _reopen(batch: Sequence[str], resolve: Callable[[str], Any]) -> list[str]:
    rows = [resolve(row["id"]) for row in message.lock_unknown(batch)]
    reopened = [row for row in rows if row is not None]
    notify_after_commit(reopened)
    return [row["id"] for row in reopened]


def _look_up(started: StartedOperation, batch: Sequence[str], reasons: dict[str, str]) -> list[str]:
    rows = message.lock_unknown(batch)
    answerable = [row for row in rows if SENDERS[row["provider"]].can_reconcile]
    reasons |= {row["execution_id"]: explain_no_look_up(row["provider"]) for row in rows if row not in answerable}
    ids = [row["id"] for row in answerable]
    message.request_look_ups(ids)
    enqueue_after_commit("sending", "look_up_requested_message", ids)
    return sorted({row["execution_id"] for row in answerable})


_Move = Callable[[StartedOperation, Sequence[str], dict[str, str]], list[str]]
_MOVES: dict[OperationKind, _Move] = {
    "retry": _retry,
    "cancel": _cancel,
    "discard": _discard,
    "sent": _mark_sent,
    "resend": _resend,
    "look_up": _look_up,
}
