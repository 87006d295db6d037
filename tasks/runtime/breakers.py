"""Checks the circuit breaker of a provider before a call, and tells it the result afterwards.

While a breaker is open, executions wait right before their call and no attempt is counted; the first one after the
delay probes the provider. The periodic job `breakers` wakes it, and all others once the provider has answered. Test
executions go to the sandbox, so they neither wait nor count.
"""

from __future__ import annotations

import random
from datetime import timedelta

import structlog

import metrics
from models import breaker
from models.database import CONNECTION_ERRORS, transaction
from models.engine.rows import BreakerRow
from rules.breaker import CallResult
from rules.errors import ExecutionError, NetworkError, UnknownOutcome
from tasks.runtime import moves
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.provider_threads import may_hold_thread_of

log = structlog.get_logger(__name__)

#: After this, a waiting execution looks at the breaker by itself, should nothing have woken it.
RECHECK_AFTER = timedelta(minutes=10)
#: What would hold too many threads waits for this time, and up to as long again.
CROWDED_DELAY = timedelta(seconds=2)


def rest_if_breaker_open(claimed: ClaimedExecution, provider: str) -> bool:
    """Make the execution wait if the provider does not answer its workspace, unless its call is the probe.

    It also waits where the provider holds as many threads as it may. Call it last before the call: a probe that is not
    made delays the next one. Returns whether it waits.
    """
    row = _find(claimed, provider)
    if claimed.test or row is None or row["opened_at"] is None or _take_probe(claimed, row):
        return _rest_if_crowded(claimed, provider)
    _rest(claimed, provider, RECHECK_AFTER)
    return True


def _rest_if_crowded(claimed: ClaimedExecution, provider: str) -> bool:
    timed_out = has_timed_out(claimed, provider)
    if may_hold_thread_of(claimed.queue, claimed.row["workspace_id"], provider, timed_out=timed_out):
        return False
    rest_briefly(claimed, provider)
    return True


def rest_briefly(claimed: ClaimedExecution, provider: str) -> None:
    """Make the execution wait for some seconds: its provider holds as many threads as it may."""
    _rest(claimed, provider, CROWDED_DELAY * (1 + random.random()))


def _rest(claimed: ClaimedExecution, provider: str, delay: timedelta) -> None:
    if claimed.stage == "sending":
        moves.enter(claimed, "ready_to_send")
    elif claimed.stage == "generating":
        moves.enter(claimed, claimed.base_stage)
    claimed.state["provider"] = provider
    moves.wait(claimed, "provider", claimed.now() + delay)


def has_timed_out(claimed: ClaimedExecution, provider: str) -> bool:
    """Whether the provider's last calls for the workspace timed out."""
    return not claimed.test and _find(claimed, provider) is not None


def _find(claimed: ClaimedExecution, provider: str) -> BreakerRow | None:
    return next((row for row in claimed.row["breakers"] if row["provider"] == provider), None)


def _take_probe(claimed: ClaimedExecution, row: BreakerRow) -> bool:
    if row["probe_at"] is None or (row["probe_at"] > claimed.now() and row["probed_by"] != claimed.execution_id):
        return False
    with transaction():
        return breaker.take_probe(claimed.row["workspace_id"], row["provider"], claimed.execution_id)


def record_call_result(claimed: ClaimedExecution, provider: str, error: ExecutionError | None) -> None:
    """Tell the breaker of the provider what a call did. An answer matters only after a time-out."""
    result, row = classify_result(error), _find(claimed, provider)
    if claimed.test or (result != "timed_out" and row is None):
        return
    began_open = row is not None and row["opened_at"] is not None
    try:
        with transaction():
            change = breaker.record_result(
                claimed.row["workspace_id"], provider, result, claimed.execution_id, began_open=began_open
            )
    except CONNECTION_ERRORS as unreachable:
        log.warning("postgres is unreachable, breaker not changed", provider=provider, error=str(unreachable).strip())
        return
    except Exception:
        # Whatever it is, a message that was accepted must not count as failed for it.
        log.exception("a breaker was not changed", provider=provider)
        return
    if change.after.is_open and not change.before.is_open:
        metrics.breakers_opened_total.labels(provider=provider).inc()
        log.warning("a provider does not answer, its breaker opened", provider=provider, timeouts=change.after.timeouts)
    elif change.before.is_open and not change.after.is_open:
        log.info("a provider answers again, its breaker closed", provider=provider)


def classify_result(error: ExecutionError | None) -> CallResult:
    """Return what a call's error says about the provider; None is an accepted call."""
    if error is None:
        return "answered"
    if error.timed_out:
        return "timed_out"
    is_cut_off = isinstance(error, UnknownOutcome) and error.provider_code is None
    return "unreachable" if isinstance(error, NetworkError) or is_cut_off else "answered"
