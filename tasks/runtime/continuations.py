"""Runs the continuation of a claimed execution: from intent to intent, and to the release of its lease.

A continuation is a generator (`tasks.executions` defines it) that yields where its intent must be durable before it
continues. No thread waits for that: the group commit's callback resumes it on a free thread of its pool. When it ends,
the lease is released once the final record is durable; or, where the next call is another queue's, the execution goes
to that queue's pool as it is, with its lease and its unrecorded changes.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

import metrics
from ephemeral import rates
from models import message
from models.database import CONNECTION_ERRORS, transaction
from models.engine.group_commit import CommitFuture
from providers.base import LeaseLost
from tasks.runtime import moves, spans
from tasks.runtime.claimed_execution import ClaimedExecution, Continuation
from tasks.runtime.engine import Engine, confirm
from tasks.runtime.notifications import notify_rows

log = structlog.get_logger(__name__)


def run_continuation(
    engine: Engine, claimed: ClaimedExecution, continuation: Continuation[None], intent: CommitFuture | None = None
) -> bool:
    """Start the continuation, or resume it with the recorded `intent`; return whether it has finished."""
    structlog.contextvars.bind_contextvars(
        execution_id=claimed.execution_id,
        trigger_id=claimed.row["trigger_id"],
        workspace_id=claimed.row["workspace_id"],
        queue=claimed.queue,
    )
    callback: Callable[[CommitFuture], None]
    try:
        is_finished = _resume(continuation, intent)
        if is_finished and _leave_pool(engine, claimed):
            return True
        if is_finished:
            callback = engine.completions.wrap(lambda future: _release(engine, claimed, future))
        else:
            callback = _build_resume_callback(engine, claimed, continuation)
        engine.group_commit.submit(claimed.take_record(), callback)
        return is_finished
    except (LeaseLost, *CONNECTION_ERRORS) as error:
        engine.leases.release(claimed)
        _abandon(claimed, error)
        return True
    except BaseException:
        engine.leases.release(claimed)
        raise


def _resume(continuation: Continuation[None], intent: CommitFuture | None) -> bool:
    """Run to the next intent; return True where the continuation ends first."""
    try:
        if intent is None:
            next(continuation)
        else:
            continuation.send(intent)
    except StopIteration:
        return True
    return False


def _build_resume_callback(
    engine: Engine, claimed: ClaimedExecution, continuation: Continuation[None]
) -> Callable[[CommitFuture], None]:
    """Return a callback that resumes the continuation on a free thread once its intent is settled."""
    return lambda future: engine.pools[claimed.queue].resume(
        lambda: run_continuation(engine, claimed, continuation, future)
    )


def _leave_pool(engine: Engine, claimed: ClaimedExecution) -> bool:
    """Give an execution whose next call is another queue's to that queue's pool; requeue it where there is no place.

    Returns whether the other pool has it, whose threads may already run it.
    """
    queue, claimed.next_queue = claimed.next_queue, None
    if queue is None:
        return False
    workspace_id = claimed.row["workspace_id"]
    if engine.transfer(claimed, queue):
        metrics.transfers_total.labels(queue=queue, way="memory").inc()
        rates.count_in(workspace_id, queue)
        rates.count_out(workspace_id, queue)
        return True
    metrics.transfers_total.labels(queue=queue, way="redis").inc()
    moves.requeue(claimed, queue)
    return False


def _release(engine: Engine, claimed: ClaimedExecution, future: CommitFuture) -> tuple[str, str] | None:
    """Release the lease once the final record is settled; return the queue and execution to notify, if any."""
    try:
        confirm(claimed, future)
    except (LeaseLost, *CONNECTION_ERRORS) as error:
        _abandon(claimed, error)
        return None
    finally:
        engine.leases.release(claimed)
    _count_finished(claimed)
    if claimed.requeued_to is None:
        return None
    rates.count_in(claimed.row["workspace_id"], claimed.requeued_to)
    return claimed.requeued_to, claimed.execution_id


def _abandon(claimed: ClaimedExecution, error: Exception) -> None:
    """Log why this process records nothing more: the lease is lost, or PostgreSQL was unavailable for too long."""
    if isinstance(error, LeaseLost):
        log.warning("lease lost, execution abandoned", execution_id=claimed.execution_id)
        _save_receipts(claimed)
    else:
        text = str(error).strip()
        log.warning("postgres is unreachable, execution abandoned", execution_id=claimed.execution_id, error=text)


def _save_receipts(claimed: ClaimedExecution) -> None:
    """Record messages that a provider accepted although the lease was lost, so that their outcome is known."""
    for message_id, provider_message_id in claimed.accepted.items():
        with transaction():
            reopened = message.resolve_sent(message_id, provider_message_id)
        if reopened is not None:
            notify_rows([reopened])


def _count_finished(claimed: ClaimedExecution) -> None:
    spans.record_execution(claimed)
    if claimed.state["finished_at"] is not None and not claimed.test:
        metrics.executions_finished_total.labels(status=claimed.state["status"]).inc()
