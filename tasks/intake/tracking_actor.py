"""The actor that records accepted executions of playbooks. Only workers import it: an actor binds to its process's
broker on import."""

from __future__ import annotations

import time

import dramatiq
import structlog

from ephemeral import tracking_notices
from ephemeral.connection import ERRORS as REDIS_ERRORS
from models.database import CONNECTION_ERRORS
from tasks.intake.tracking_records import record_waiting
from tasks.runtime.notifications import enqueue_actor

log = structlog.get_logger(__name__)

#: An actor continues in another message after so many seconds, so that it does not delay a shutdown.
RUN_SECONDS = 2.0


@dramatiq.actor(actor_name="record_tracked_executions", queue_name="tracking", max_retries=0)
def record_tracked_executions() -> None:
    """Record what is waiting, after a moment in which more may come. Without PostgreSQL it ends: the entries stay, and
    the sweep finds them."""
    time.sleep(tracking_notices.LINGER_SECONDS)
    try:
        # Before the first read: whatever is committed later comes with its own notification.
        tracking_notices.clear()
    except REDIS_ERRORS as error:
        log.warning("redis is unavailable, the sweep will record", error=str(error))
    try:
        _, has_more = record_waiting(RUN_SECONDS)
    except CONNECTION_ERRORS as error:
        log.warning("postgres is unavailable, the sweep will record", error=str(error).strip())
        return
    if has_more:
        enqueue_actor("tracking", "record_tracked_executions")
