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
from models import execution, inbound_event, message, pause, retention, run, tally
from models.database import transaction
from settings import Settings
from tasks.accounts import fingerprint, missing, own_tokens
from tasks.bells import call, ring_for
from tasks.broker import EXECUTION_QUEUES, queue_depths
from tasks.model_settings import in_use
from tasks.schedules import start_due_schedules

log = structlog.get_logger(__name__)

#: Most rows that one run of a duty takes.
AT_ONCE = 2_000
#: A bell that was rung this long ago, without anybody coming, may be lost.
BELL_PATIENCE_SECONDS = 15.0

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Duty:
    """Something to be done again and again: what, and every how many seconds."""

    name: str
    every_seconds: float
    run_once: Callable[[Settings], Counts]


def wake_due(settings: Settings) -> Counts:
    """Waits, windows, send times and retries whose time has come."""
    with transaction():
        woken = execution.come_due(AT_ONCE)
    return {"woken": ring_for(woken)}


def retry_failed(settings: Settings) -> Counts:
    """Retryable failures whose time has come, whatever became of their bell."""
    with transaction():
        woken = execution.due("e.status = 'waiting' and e.waiting_for = 'retry'", (), AT_ONCE)
    metrics.retries_total.labels(kind="sweep", reason="due").inc(len(woken))
    return {"retried": ring_for(woken)}


def rescue_leases(settings: Settings) -> Counts:
    """Executions whose worker died: whoever answers the bell takes the lease over."""
    with transaction():
        found = execution.dead_leases(AT_ONCE)
    return {"rescued": ring_for(found, rescued=True)}


def ring_lost_bells(settings: Settings) -> Counts:
    """What is due although its bell was rung a while ago, as far as Redis no longer holds its bells.

    Under a backlog every bell is old and none is lost: then Redis holds at least as many as are due.
    """
    try:
        depths = queue_depths()
    except REDIS_ERRORS:
        return {"rung": 0}
    rung = 0
    with transaction():
        waiting = execution.due_counts(BELL_PATIENCE_SECONDS)
    for queue in EXECUTION_QUEUES:
        lost = waiting.get(queue, 0) - depths[queue]["ready"]
        if lost <= 0:
            continue
        with transaction():
            found = execution.lost_bells(BELL_PATIENCE_SECONDS, queue, min(lost, AT_ONCE))
        rung += ring_for(found)
        metrics.deliveries_rescued_total.labels(kind="bell").inc(len(found))
    return {"rung": rung}


def look_up_unknown(settings: Settings) -> Counts:
    """Messages of unknown outcome whose look-up is due."""
    with transaction():
        ids = message.due_look_ups(AT_ONCE)
    for message_id in ids:
        call("sending", "look_up_message", message_id)
    return {"asked": len(ids)}


def process_callbacks(settings: Settings) -> Counts:
    """Callbacks that were stored, but whose bell was lost."""
    with transaction():
        ids = inbound_event.waiting(BELL_PATIENCE_SECONDS, AT_ONCE)
    for event_id in ids:
        call("tracking", "process_event", event_id)
    return {"rung": len(ids)}


def count_due_runs(settings: Settings) -> Counts:
    """Runs that could not be counted in the record of their step."""
    if settings.run_tracking is False:
        return {"counted": 0, "duplicates": 0}
    tracked = run.count_due(AT_ONCE)
    run.tell(tracked)
    counted = sum(one.counted for one in tracked)
    return {"counted": counted, "duplicates": len(tracked) - counted}


def end_mended_pauses(settings: Settings) -> Counts:
    """Pauses that refused credentials made, once there are other credentials; and who has not heard that one ended."""
    ended = 0
    with transaction():
        held = pause.of_credentials()
    for one in held:
        if not _mended(settings, one["name"], one["workspace_id"], one["credentials_fingerprint"]):
            continue
        with transaction():
            woken = pause.let_go("provider", one["name"], one["workspace_id"])
        ended += 1
        ring_for(woken)
    with transaction():
        late = execution.outlived_pauses(AT_ONCE)
    ring_for(late)
    return {"ended": ended, "late": len(late)}


def _mended(settings: Settings, provider: str, workspace_id: str, refused: str) -> bool:
    settings = in_use(settings, workspace_id).settings
    if fingerprint(settings, provider, workspace_id) == refused:
        return False
    return bool(own_tokens(provider, workspace_id)) or not missing(settings, provider)


def tally_moves(settings: Settings) -> Counts:
    """What the monitor adds up of a day: moves and times in stages, by five minutes."""
    return tally.run_once()


def keep_house(settings: Settings) -> Counts:
    """Partitions ahead, and what is older than its keep removed."""
    return retention.run_once()


#: Every duty of the scheduler.
DUTIES = (
    Duty("due", 1.0, wake_due),
    Duty("leases", 10.0, rescue_leases),
    Duty("bells", 10.0, ring_lost_bells),
    Duty("look_ups", 5.0, look_up_unknown),
    Duty("callbacks", 10.0, process_callbacks),
    Duty("schedules", 1.0, start_due_schedules),
    Duty("runs", 5.0, count_due_runs),
    Duty("pauses", 10.0, end_mended_pauses),
    Duty("retry", 300.0, retry_failed),
    Duty("tallies", 30.0, tally_moves),
    Duty("retention", 3600.0, keep_house),
)
