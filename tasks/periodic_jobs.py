"""The scheduler's duties: each finds rows that need something, does it once, and says in counts what it did.

A duty knows nothing of loops and leaders (`workers/scheduler` does); it may run twice or on two machines at once and
does no harm. What it wakes, it wakes by ringing: the row was due before, and stays due if the bell is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

import metrics
from ephemeral.connection import ERRORS as REDIS_ERRORS
from models import execution, inbound_event, message, pause
from models.checks import retention, rollups
from models.database import transaction
from models.engine import runs
from settings import Settings
from tasks.intake.schedules import start_due_schedules
from tasks.operators.model_settings import resolve_model_settings
from tasks.runtime.broker import EXECUTION_QUEUES, read_queue_depths
from tasks.runtime.notifications import enqueue_actor, notify_rows
from tasks.steps.accounts import find_missing_secrets, fingerprint, list_own_tokens

log = structlog.get_logger(__name__)

#: Most rows that one run of a duty takes.
BATCH_SIZE = 2_000
#: A bell that was rung this long ago, without anybody coming, may be lost.
NOTIFICATION_TIMEOUT_SECONDS = 15.0

Counts = Mapping[str, int]


@dataclass(frozen=True)
class PeriodicJob:
    """Something to be done again and again: what, and every how many seconds."""

    name: str
    every_seconds: float
    run_once: Callable[[Settings], Counts]


def enqueue_due(settings: Settings) -> Counts:
    """Waits, windows, send times and retries whose time has come."""
    with transaction():
        rows = execution.mark_elapsed_waits_notified(BATCH_SIZE)
    return {"woken": notify_rows(rows)}


def enqueue_overdue_retries(settings: Settings) -> Counts:
    """Retryable failures whose time has come, whatever became of their bell."""
    with transaction():
        rows = execution.mark_due_notified("e.status = 'waiting' and e.waiting_for = 'retry'", (), BATCH_SIZE)
    metrics.retries_total.labels(kind="sweep", reason="due").inc(len(rows))
    return {"retried": notify_rows(rows)}


def rescue_expired_leases(settings: Settings) -> Counts:
    """Executions whose worker died: whoever answers the bell takes the lease over."""
    with transaction():
        rows = execution.find_expired_leases(BATCH_SIZE)
    return {"rescued": notify_rows(rows, rescued=True)}


def requeue_lost_notifications(settings: Settings) -> Counts:
    """What is due although its bell was rung a while ago, as far as Redis no longer holds its bells.

    Under a backlog every bell is old and none is lost: then Redis holds at least as many as are due.
    """
    try:
        depths = read_queue_depths()
    except REDIS_ERRORS:
        return {"rung": 0}
    notified = 0
    with transaction():
        waiting = execution.count_lost_notifications(NOTIFICATION_TIMEOUT_SECONDS)
    for queue in EXECUTION_QUEUES:
        lost = waiting.get(queue, 0) - depths[queue]["ready"]
        if lost <= 0:
            continue
        with transaction():
            rows = execution.mark_lost_notifications(NOTIFICATION_TIMEOUT_SECONDS, queue, min(lost, BATCH_SIZE))
        notified += notify_rows(rows)
        metrics.deliveries_rescued_total.labels(kind="bell").inc(len(rows))
    return {"rung": notified}


def reconcile_unknown_outcomes(settings: Settings) -> Counts:
    """Messages of unknown outcome whose look-up is due."""
    with transaction():
        ids = message.claim_due_reconciliations(BATCH_SIZE)
    for message_id in ids:
        enqueue_actor("sending", "look_up_message", message_id)
    return {"asked": len(ids)}


def enqueue_waiting_callbacks(settings: Settings) -> Counts:
    """Callbacks that were stored, but whose bell was lost."""
    with transaction():
        ids = inbound_event.list_unprocessed(NOTIFICATION_TIMEOUT_SECONDS, BATCH_SIZE)
    for event_id in ids:
        enqueue_actor("tracking", "process_event", event_id)
    return {"rung": len(ids)}


def count_due_runs(settings: Settings) -> Counts:
    """Runs that could not be counted in the record of their step."""
    if settings.run_tracking is False:
        return {"counted": 0, "duplicates": 0}
    tracked = runs.count_due(BATCH_SIZE)
    runs.report_runs(tracked)
    counted = sum(tracked_run.counted for tracked_run in tracked)
    return {"counted": counted, "duplicates": len(tracked) - counted}


def end_resolved_pauses(settings: Settings) -> Counts:
    """Pauses that refused credentials made, once there are other credentials; and who has not heard that one ended."""
    ended = 0
    with transaction():
        pauses = pause.list_credential_pauses()
    for pause_row in pauses:
        if not _has_new_credentials(
            settings, pause_row["name"], pause_row["workspace_id"], pause_row["credentials_fingerprint"]
        ):
            continue
        with transaction():
            rows = pause.resume("provider", pause_row["name"], pause_row["workspace_id"])
        ended += 1
        notify_rows(rows)
    with transaction():
        late = execution.resume_after_ended_pauses(BATCH_SIZE)
    notify_rows(late)
    return {"ended": ended, "late": len(late)}


def _has_new_credentials(settings: Settings, provider: str, workspace_id: str, refused_fingerprint: str) -> bool:
    settings = resolve_model_settings(settings, workspace_id).settings
    if fingerprint(settings, provider, workspace_id) == refused_fingerprint:
        return False
    return bool(list_own_tokens(provider, workspace_id)) or not find_missing_secrets(settings, provider)


def update_rollups(settings: Settings) -> Counts:
    """What the monitor adds up of a day: moves and times in stages, by five minutes."""
    return rollups.run_once()


def remove_expired(settings: Settings) -> Counts:
    """Partitions ahead, and what is older than its keep removed."""
    return retention.run_once()


#: Every duty of the scheduler.
PERIODIC_JOBS = (
    PeriodicJob("due", 1.0, enqueue_due),
    PeriodicJob("leases", 10.0, rescue_expired_leases),
    PeriodicJob("bells", 10.0, requeue_lost_notifications),
    PeriodicJob("look_ups", 5.0, reconcile_unknown_outcomes),
    PeriodicJob("callbacks", 10.0, enqueue_waiting_callbacks),
    PeriodicJob("schedules", 1.0, start_due_schedules),
    PeriodicJob("runs", 5.0, count_due_runs),
    PeriodicJob("pauses", 10.0, end_resolved_pauses),
    PeriodicJob("retry", 300.0, enqueue_overdue_retries),
    PeriodicJob("tallies", 30.0, update_rollups),
    PeriodicJob("retention", 3600.0, remove_expired),
)
