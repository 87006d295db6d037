"""Runs one execution from its current state as far as it can go now; only this module knows the order of its parts.

    notification → claim (lease, fence, delivery counted) → paused? → eligibility → steps → waits, changes pools or ends

A pool runs every step up to and including the next outside call of its own queue, and continues in place while the
following call belongs to the same queue. Otherwise the execution goes on in that queue's pool of the same process, in
memory and under the same lease; where that pool has no place, its state is recorded and the queue is notified. One
record holds everything between two outside calls. A worker that has lost its lease records nothing more: the fence
refuses its writes. `tasks.runtime.moves` draws the states.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import dramatiq
import structlog

import metrics
from ephemeral import rates
from models.database import CONNECTION_ERRORS
from models.engine.rows import ClaimedRow
from providers.base import LeaseLost
from rules.definition import ACTIONS, Rules, Step, Workflow, WorkflowTrigger
from rules.errors import Bug, ExecutionError, Quarantined
from rules.stages import Queue
from tasks.eligibility import check
from tasks.failures import handle_failure
from tasks.rounds import end_if_stopped, end_round, find_next_step_of_round
from tasks.runtime import moves, step_rows
from tasks.runtime.broker import notify
from tasks.runtime.claimed_execution import ClaimedExecution, Continuation
from tasks.runtime.continuations import run_continuation
from tasks.runtime.engine import Engine, Stopping, get_engine
from tasks.runtime.execution_log import log_claim
from tasks.runtime.outside_calls import Outdated, leave_uncalled
from tasks.runtime.provider_threads import ProviderCrowded
from tasks.runtime.spans import trace_step
from tasks.runtime.turns import claim_notified
from tasks.shutdown import release_unstarted, undo_intent
from tasks.steps import local_steps
from tasks.steps.channels import find_address, find_provider, get_channel, is_to_contact
from tasks.steps.composing import prepare
from tasks.steps.current_facts import are_old, refresh, refresh_if_old
from tasks.steps.follow_check import check_follow
from tasks.steps.generation import generate
from tasks.steps.pauses import rest_if_paused
from tasks.steps.review_gate import rest_if_in_review
from tasks.steps.sending import send

log = structlog.get_logger(__name__)

#: Consecutive deliveries that may fail without recording anything.
MAX_DELIVERIES = 3

#: The workflow of a claimed execution until its own is loaded.
PLACEHOLDER_WORKFLOW = Workflow(WorkflowTrigger(""), Rules(), ())

#: The function of each action with an outside call.
CALLS: dict[str, Callable[[Engine, ClaimedExecution, Step], Continuation[bool]]] = {
    "generate_message": generate,
    "send_email": send,
    "send_sms": send,
    "send_message": send,
    "reply_comment": send,
    "check_follow": check_follow,
    "call_webhook": send,
    "notify": send,
}


@dramatiq.actor(actor_name="advance", queue_name="executions", max_retries=0)
def advance(execution_ids: str | list[str], queue: Queue, rescued: bool = False) -> None:
    """Claim as many due executions as were notified, and run each as soon as a thread is free.

    A rescued execution may have killed its worker, so it is not claimed before a thread is free.
    """
    engine = get_engine()
    pending_ids = [execution_ids] if isinstance(execution_ids, str) else execution_ids
    while pending_ids:
        reserved = engine.pools[queue].reserve_slots(len(pending_ids), prefetch=not rescued)
        if not reserved:
            # This process stops; another one claims them.
            notify(queue, pending_ids)
            return
        _claim(engine, pending_ids[:reserved], queue, rescued)
        pending_ids = pending_ids[reserved:]


def _claim(engine: Engine, execution_ids: list[str], queue: Queue, rescued: bool) -> None:
    notified = len(execution_ids)
    claimed = _start_claimed(
        engine, queue, notified, lambda: claim_notified(engine.group_commit, queue, execution_ids, rescued=rescued)
    )
    if claimed < notified and not rescued:
        engine.shortfalls[queue].add(notified - claimed)


def claim_due(queue: Queue, count: int) -> int:
    """Claim up to `count` due executions of a queue as soon as threads are free, start them, and return how many."""
    engine = get_engine()
    reserved = engine.pools[queue].reserve_slots(count)
    if not reserved:
        return 0
    return _start_claimed(engine, queue, reserved, lambda: engine.group_commit.claim_in_turns(queue, reserved))


def _start_claimed(engine: Engine, queue: Queue, reserved: int, claim: Callable[[], Iterable[ClaimedRow]]) -> int:
    """Claim, start what is claimed in the reserved slots, and return how many there were."""
    pool, claims = engine.pools[queue], 0
    try:
        requested_at = time.monotonic()
        for row in claim():
            claims += 1
            claimed = ClaimedExecution(row, PLACEHOLDER_WORKFLOW, queue)
            engine.leases.hold(claimed, requested_at)
            log_claim(claimed)
            rates.count_out(row["workspace_id"], queue)
            if row["status_before"] == "running":
                metrics.deliveries_rescued_total.labels(kind="lease").inc()
            if pool.submit(claimed):
                reserved -= 1
            else:
                release_unstarted(engine, [claimed])
    finally:
        pool.release_slots(reserved)
    return claims


def run_claimed(claimed: ClaimedExecution) -> bool:
    """Run a claimed execution in its pool until it records an intent, or as far as it can go there.

    Returns whether the pool is finished with it.
    """
    engine = get_engine()
    return run_continuation(engine, claimed, _run_steps(engine, claimed, claimed.queue))


def _run_steps(engine: Engine, claimed: ClaimedExecution, queue: Queue) -> Continuation[None]:
    try:
        if claimed.row["deliveries"] > MAX_DELIVERIES:
            raise Quarantined(
                f"The worker died {MAX_DELIVERIES} times in a row on this execution, so it is quarantined."
                " Check the worker's log of that time, then retry or discard the execution."
            )
        should_continue = (
            _check_again(claimed, queue) if claimed.is_admitted else _check_admission(engine, claimed, queue)
        )
        while should_continue:
            claimed.step = step = find_next_step_of_round(claimed)
            if step is None:
                should_continue = end_round(engine, claimed)
            else:
                should_continue = (
                    _keep_or_leave(engine, claimed, step, queue)
                    and not _rest_before_later_call(claimed, step, queue)
                    and (yield from _run_step(engine, claimed, step))
                )
    except (Stopping, Outdated):
        undo_intent(claimed)
    except ProviderCrowded as crowded:
        if claimed.step is not None:
            leave_uncalled(claimed, claimed.step, crowded.provider)
    except ExecutionError as error:
        step = claimed.step
        handle_failure(
            engine.settings, claimed, step, error, find_provider(engine.settings, claimed, step) if step else None
        )
        _count_failure(claimed, step, error)
    except (LeaseLost, *CONNECTION_ERRORS):
        raise
    except Exception as error:
        log.exception("an execution failed with a bug", execution_id=claimed.execution_id)
        handle_failure(
            engine.settings,
            claimed,
            claimed.step,
            Bug(f"Beckon failed with {type(error).__name__}: see the log, then retry the execution."),
            None,
        )


def _run_step(engine: Engine, claimed: ClaimedExecution, step: Step) -> Continuation[bool]:
    """Run and measure one step; return whether the execution continues in place."""
    began = time.monotonic()
    try:
        with trace_step(claimed, step):
            if step.action in CALLS:
                should_continue = yield from CALLS[step.action](engine, claimed, step)
            else:
                should_continue = local_steps.LOCAL_STEPS[step.action](engine, claimed, step)
    except ExecutionError:
        metrics.actions_total.labels(type=step.action, status="failed").inc()
        raise
    if should_continue:
        metrics.actions_total.labels(type=step.action, status=claimed.steps[step.id]["status"]).inc()
        metrics.step_duration_seconds.labels(type=step.action).observe(time.monotonic() - began)
    return should_continue


def _check_admission(engine: Engine, claimed: ClaimedExecution, queue: Queue) -> bool:
    """Whether the execution is not paused and, where a round begins, the rules allow it."""
    claimed.is_admitted = True
    if are_old(claimed):
        # It waited long for a thread, so another claim reads current facts.
        moves.requeue(claimed, queue)
        return False
    try:
        claimed.workflow = engine.load_workflow(claimed.row["version_id"])
        step_rows.count_run_of_resolved_step(claimed)
        if claimed.test:
            local_steps.repeat_simulated_changes(claimed)
        if rest_if_paused(claimed, queue) or end_if_stopped(claimed):
            return False
        return claimed.stage != "checking" or check(engine, claimed)
    except CONNECTION_ERRORS as error:
        # Nothing has happened yet: it starts again once PostgreSQL is back, and no failed delivery is counted.
        log.warning("postgres is unreachable, requeued", execution_id=claimed.execution_id, error=str(error).strip())
        moves.requeue(claimed, queue)
        return False


def _check_again(claimed: ClaimedExecution, queue: Queue) -> bool:
    """Whether an execution from another pool may go on in this one: nothing that came since its claim holds it."""
    refresh_if_old(claimed)
    return not rest_if_paused(claimed, queue) and not end_if_stopped(claimed)


def _keep_or_leave(engine: Engine, claimed: ClaimedExecution, step: Step, queue: Queue) -> bool:
    """Whether this pool may run the step; otherwise the execution goes on where its outside call belongs."""
    step_queue = ACTIONS[step.action].queue
    if step_queue is None or step_queue == queue:
        return True
    if is_to_contact(step) and claimed.contact is not None and step.id not in claimed.messages:
        _prepare_message(engine, claimed, step)
        if rest_if_in_review(claimed, step):
            return False
    if claimed.stage == "generating":
        moves.enter(claimed, claimed.base_stage)
    moves.leave_pool(claimed, step_queue)
    return False


def _rest_before_later_call(claimed: ClaimedExecution, step: Step, queue: Queue) -> bool:
    """Whether a pause that began while this worker runs the execution holds its next outside call.

    The facts that decide about a message, also of a notice and a webhook, are read right before it.
    """
    call = CALLS.get(step.action)
    if call is None:
        return False
    is_refreshed = refresh(claimed) if call is send else refresh_if_old(claimed)
    return is_refreshed and rest_if_paused(claimed, queue, is_running=True)


def _prepare_message(engine: Engine, claimed: ClaimedExecution, step: Step) -> None:
    """Compose the message before the execution leaves, so that an operator sees it waiting."""
    if not find_address(claimed, step) or get_channel(step) in claimed.suppressed:
        return
    prepare(engine, claimed, step)
    moves.enter(claimed, "ready_to_send")


def _count_failure(claimed: ClaimedExecution, step: Step | None, error: ExecutionError) -> None:
    if claimed.test:
        return
    if isinstance(error, Quarantined):
        metrics.quarantined_total.labels(reason="deliveries").inc()
    if step is None or ACTIONS[step.action].queue != "sending":
        return
    message_row = claimed.messages.get(step.id)
    if message_row is None:
        return
    outcome = "unknown" if error.error_class == "unknown_outcome" else "retryable" if error.retryable else "permanent"
    metrics.sends_total.labels(channel=message_row["channel"], provider=message_row["provider"], outcome=outcome).inc()
