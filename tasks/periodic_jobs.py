"""The scheduler's periodic jobs: each finds rows that need something, processes them once, and returns counts.

A job neither loops nor elects a leader: `workers.scheduler` does, and fences every transaction of a job with the
leader's token. A job begins no thread, because the fence is the calling thread's. It starts executions by notifying
only, after the commit: the row was due before, stays due if the notification is lost, and a second notification finds
nothing to do. So messages that an earlier leader still enqueues for what it committed in time do no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

import metrics
from ephemeral.connection import ERRORS as REDIS_ERRORS
from models import breaker, execution, help_reply, inbound_event, lateness, message, operation, pause, tracking_intake
from models.checks import analytics_tallies, retention, rollups
from models.database import acting_as, transaction
from models.engine import runs
from settings import Settings
from tasks.intake.schedules import start_due_schedules
from tasks.intake.tracking_records import record_waiting
from tasks.runtime.broker import EXECUTION_QUEUES, read_queue_depths
from tasks.runtime.notifications import enqueue_actor, notify_rows
from tasks.steps.accounts import find_missing_secrets, fingerprint, list_own_tokens
from tasks.steps.model_settings import resolve_model_settings
from tasks.test_run_sweep import end_silent_runs

log = structlog.get_logger(__name__)

#: Maximum number of rows that one run of a job processes.
BATCH_SIZE = 2_000
#: A notification that has led to no claim for this long may be lost.
NOTIFICATION_TIMEOUT_SECONDS = 15.0
#: The tracking program records an accepted execution within a second; later its notification may be lost.
TRACKING_OVERDUE_SECONDS = 2.0

Counts = Mapping[str, int]


@dataclass(frozen=True)
class PeriodicJob:
    """A job of the scheduler: its name, its interval in seconds and its function.

    A run that takes longer than its deadline hangs: the process ends, and with it its leadership.
    """

    name: str
    every_seconds: float
    run_once: Callable[[Settings], Counts]
    deadline_seconds: float = 600.0


def enqueue_due(settings: Settings) -> Counts:
    """Notify for elapsed waits, windows, send times and retries."""
    with transaction():
        rows = execution.mark_elapsed_waits_notified(BATCH_SIZE)
    return {"woken": notify_rows(rows)}


def enqueue_overdue_retries(settings: Settings) -> Counts:
    """Notify for every due retry, whether or not it was notified before."""
    with transaction():
        rows = execution.mark_due_retries_notified(BATCH_SIZE)
    metrics.retries_total.labels(kind="sweep", reason="due").inc(len(rows))
    return {"retried": notify_rows(rows)}


def rescue_expired_leases(settings: Settings) -> Counts:
    """Notify for executions whose worker died; the next claim takes the lease over."""
    with transaction():
        rows = execution.find_expired_leases(BATCH_SIZE)
    return {"rescued": notify_rows(rows, rescued=True)}


def requeue_lost_notifications(settings: Settings) -> Counts:
    """Notify again for due executions whose notification is old and no longer in Redis.

    Under a backlog every notification is old and none is lost: Redis then holds at least as many as are due.
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
        metrics.deliveries_rescued_total.labels(kind="notification").inc(len(rows))
    return {"rung": notified}


def reconcile_unknown_outcomes(settings: Settings) -> Counts:
    """Enqueue the due reconciliations of messages with an unknown outcome."""
    with transaction():
        ids = message.claim_due_reconciliations(BATCH_SIZE)
        requested = message.claim_requested_look_ups(BATCH_SIZE)
    for message_id in ids:
        enqueue_actor("sending", "look_up_message", message_id)
    for message_id in requested:
        enqueue_actor("sending", "look_up_requested_message", message_id)
    return {"asked": len(ids) + len(requested)}


def continue_operations(settings: Settings) -> Counts:
    """Enqueue bulk actions whose process died or whose message was lost."""
    with transaction():
        ids = operation.claim_unattended(NOTIFICATION_TIMEOUT_SECONDS, BATCH_SIZE)
    for operation_id in ids:
        enqueue_actor("tracking", "run_operation", operation_id)
    return {"continued": len(ids)}


def enqueue_waiting_callbacks(settings: Settings) -> Counts:
    """Enqueue stored callbacks and answers to HELP whose notification was lost, or that waited for a pause."""
    with transaction():
        ids = inbound_event.list_unprocessed(NOTIFICATION_TIMEOUT_SECONDS, BATCH_SIZE)
        replies = help_reply.list_pending(NOTIFICATION_TIMEOUT_SECONDS, BATCH_SIZE)
    for event_id in ids:
        enqueue_actor("tracking", "process_event", event_id)
    for reply_id in replies:
        enqueue_actor("sending", "send_help_reply", reply_id)
    return {"rung": len(ids) + len(replies)}


def record_overdue_tracking(settings: Settings) -> Counts:
    """Record executions of playbooks whose notification was lost, for a second, so that no other job waits long."""
    if not tracking_intake.is_overdue(TRACKING_OVERDUE_SECONDS):
        return {"recorded": 0}
    recorded, _ = record_waiting(1.0)
    return {"recorded": recorded}


def count_due_runs(settings: Settings) -> Counts:
    """Count runs that could not be counted in the record of their step."""
    if settings.run_tracking is False:
        return {"counted": 0, "duplicates": 0}
    tracked = runs.count_due(BATCH_SIZE)
    runs.report_runs(tracked)
    counted = sum(tracked_run.counted for tracked_run in tracked)
    return {"counted": counted, "duplicates": len(tracked) - counted}


def end_resolved_pauses(settings: Settings) -> Counts:
    """End pauses for refused credentials once these have changed, and resume what an ended pause left waiting."""
    ended = 0
    with transaction():
        pauses = pause.list_credential_pauses()
    for pause_row in pauses:
        if not _has_new_credentials(
            settings, pause_row["name"], pause_row["workspace_id"], pause_row["credentials_fingerprint"]
        ):
            continue
        with acting_as(pause_row["workspace_id"]):
            rows = pause.resume_after_credentials(pause_row["name"], pause_row["workspace_id"])
        ended += 1
        notify_rows(rows)
    with transaction():
        late = execution.resume_after_ended_pauses(BATCH_SIZE)
    notify_rows(late)
    return {"ended": ended, "late": len(late)}


def wake_after_timeouts(settings: Settings) -> Counts:
    """Let one execution probe each provider that does not answer, and continue what waited for one that answers."""
    with transaction():
        probing = breaker.wake_probes()
        answered = breaker.wake_answered(BATCH_SIZE)
    notify_rows([*probing, *answered])
    return {"probing": len(probing), "continued": len(answered)}


def _has_new_credentials(settings: Settings, provider: str, workspace_id: str, refused_fingerprint: str) -> bool:
    settings = resolve_model_settings(settings, workspace_id).settings
    if fingerprint(settings, provider, workspace_id) == refused_fingerprint:
        return False
    return bool(list_own_tokens(provider, workspace_id)) or not find_missing_secrets(settings, provider)


def update_rollups(settings: Settings) -> Counts:
    """Update the monitor's five-minute rollups: moves between stages and times in them."""
    return rollups.run_once()


def add_analytics_changes(settings: Settings) -> Counts:
    """Add the changes of counts that Analytics reads to its tallies."""
    return analytics_tallies.run_once()


def sample_lateness(settings: Settings) -> Counts:
    """Record how late the workspaces' executions are, and remove samples that are past their retention."""
    return {"late": lateness.sample(), "removed": lateness.remove_old()}


def remove_expired(settings: Settings) -> Counts:
    """Create partitions ahead and remove rows that are past their retention."""
    return {**retention.run_once(), "tallies": analytics_tallies.remove_old()}


def end_silent_test_runs(settings: Settings) -> Counts:
    """End the test runs whose process died, and remove their data."""
    return {"ended": end_silent_runs()}


#: Every job of the scheduler. Names are stored in a table and appear in metrics and the API.
PERIODIC_JOBS = (
    PeriodicJob("due", 1.0, enqueue_due),
    PeriodicJob("leases", 10.0, rescue_expired_leases),
    PeriodicJob("notifications", 10.0, requeue_lost_notifications),
    PeriodicJob("reconciliations", 5.0, reconcile_unknown_outcomes),
    PeriodicJob("callbacks", 10.0, enqueue_waiting_callbacks),
    PeriodicJob("tracking", 1.0, record_overdue_tracking),
    PeriodicJob("operations", 10.0, continue_operations),
    PeriodicJob("schedules", 1.0, start_due_schedules),
    PeriodicJob("runs", 5.0, count_due_runs),
    PeriodicJob("pauses", 10.0, end_resolved_pauses),
    PeriodicJob("breakers", 1.0, wake_after_timeouts),
    PeriodicJob("retry", 300.0, enqueue_overdue_retries),
    # After an outage these two catch up in one run.
    PeriodicJob("rollups", 30.0, update_rollups, deadline_seconds=3600.0),
    PeriodicJob("analytics", 10.0, add_analytics_changes, deadline_seconds=3600.0),
    PeriodicJob("lateness", 60.0, sample_lateness),
    PeriodicJob("test_runs", 10.0, end_silent_test_runs),
    PeriodicJob("retention", 3600.0, remove_expired, deadline_seconds=7200.0),
)
