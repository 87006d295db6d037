"""Records accepted executions of playbooks, hundreds in a transaction; an entry that cannot be recorded is set aside.

Any number of processes may do so at once: each skips what another one holds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

import metrics
from models import tracking_intake

log = structlog.get_logger(__name__)

#: Executions in one transaction.
BATCH_SIZE = 500
#: Characters of an error that are kept.
MAX_ERROR_LENGTH = 500


def record_waiting(seconds: float) -> tuple[int, bool]:
    """Record what is waiting, for so many seconds at most; return how many, and whether more may be waiting.

    Raises the database's connection errors: the entries stay.
    """
    stop_at = time.monotonic() + seconds
    done = 0
    while True:
        count = _record_batch()
        done += count
        if count < BATCH_SIZE:
            return done, False
        if time.monotonic() > stop_at:
            return done, True


def _record_batch() -> int:
    """Record the oldest entries; return how many were recorded or set aside."""
    try:
        return _record(None)
    except Exception as error:
        if not tracking_intake.is_content_error(error):
            raise
    return _record_apart(tracking_intake.list_oldest(BATCH_SIZE))


def _record(ids: Sequence[str] | None) -> int:
    batch = tracking_intake.record(BATCH_SIZE, ids)
    if batch.total:
        metrics.executions_tracked_total.labels(result="recorded").inc(batch.total)
    return batch.total


def _record_apart(ids: Sequence[str]) -> int:
    """Record entries of which at least one cannot be: in halves, until it is alone and set aside."""
    try:
        return _record(ids)
    except Exception as error:
        if not tracking_intake.is_content_error(error):
            raise
        if len(ids) == 1:
            return _set_aside(ids[0], error)
    half = len(ids) // 2
    return _record_apart(ids[:half]) + _record_apart(ids[half:])


def _set_aside(entry_id: str, error: Exception) -> int:
    reason = str(error).strip()[:MAX_ERROR_LENGTH]
    if not tracking_intake.set_aside(entry_id, reason):
        return 0
    metrics.executions_tracked_total.labels(result="failed").inc()
    log.error("a tracked execution cannot be recorded and is set aside", entry_id=entry_id, error=reason)
    return 1
