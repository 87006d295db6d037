"""Releases what a stopping worker holds: nothing is lost and nothing is sent twice.

A thread inside an outside call is not interrupted. Its later record is refused, because the execution no longer runs
under its fence.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rules.errors import UnknownOutcome
from tasks.failures import handle_failure
from tasks.runtime import moves
from tasks.runtime.broker import notify
from tasks.runtime.claimed_execution import RELEASED, ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.runtime.execution_log import log_record
from tasks.runtime.outside_calls import undo_call
from tasks.steps.channels import find_provider

#: Calls that change nothing outside, so that the next worker makes them again.
WITHOUT_EFFECT = frozenset({"generation", "follow_check"})
#: Seconds between two checks of what is still in flight.
POLL_SECONDS = 0.05


def release_unstarted(engine: Engine, claimed_executions: Sequence[ClaimedExecution]) -> None:
    """Requeue executions that were claimed and not started, for other processes."""
    for claimed in claimed_executions:
        moves.requeue(claimed, claimed.queue)
        _requeue_now(engine, claimed)
        engine.leases.release(claimed)


def drain(engine: Engine, send_timeout_seconds: float) -> None:
    """Release calls without effect at once, wait `send_timeout_seconds` for sends, and record the rest as unknown."""
    deadline = time.monotonic() + send_timeout_seconds
    while claimed_executions := engine.leases.list_held():
        for claimed in claimed_executions:
            if claimed.call in WITHOUT_EFFECT:
                release_in_flight(engine, claimed)
        if time.monotonic() > deadline or all(claimed.call == RELEASED for claimed in claimed_executions):
            break
        time.sleep(POLL_SECONDS)
    for claimed in engine.leases.list_held():
        record_unknown_outcome(engine, claimed)


def release_in_flight(engine: Engine, claimed: ClaimedExecution) -> None:
    """Requeue an execution whose call has no effect; nothing is recorded where its thread has moved on meanwhile."""
    if undo_intent(claimed):
        _requeue_now(engine, claimed)


def undo_intent(claimed: ClaimedExecution) -> bool:
    """Take a recorded intent back and requeue its outside call; return False where the step makes none."""
    step = claimed.step
    if step is None or step.queue is None:
        return False
    undo_call(claimed, step, sending_at=claimed.refused_at)
    moves.requeue(claimed, step.queue)
    return True


def record_unknown_outcome(engine: Engine, claimed: ClaimedExecution) -> None:
    """Record a send that did not end in time as unknown outcome."""
    if claimed.step is None or claimed.call != "sending":
        return
    error = UnknownOutcome("Beckon was stopped while this message was being sent, before the provider answered.")
    handle_failure(engine.settings, claimed, claimed.step, error, find_provider(engine.settings, claimed, claimed.step))
    _record_final(engine, claimed)


def _requeue_now(engine: Engine, claimed: ClaimedExecution) -> None:
    if _record_final(engine, claimed) and claimed.requeued_to is not None:
        notify(claimed.requeued_to, [claimed.execution_id])


def _record_final(engine: Engine, claimed: ClaimedExecution) -> bool:
    claimed.call = RELEASED
    is_recorded = engine.group_commit.record(claimed.take_record())
    if is_recorded:
        claimed.mark_recorded()
        log_record(claimed)
    return is_recorded
