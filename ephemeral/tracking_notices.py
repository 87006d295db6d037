"""Whether the tracking program was already notified of accepted executions and has not yet started.

Thousands of commits a second need one notification at a time. The worker that takes it waits `LINGER_SECONDS`, so that
it records many at once, then clears the mark, then reads: whatever was committed while the mark stood is read by it. A
mark whose notification was lost expires; meanwhile a sweep records.
"""

from __future__ import annotations

import threading
import time

from ephemeral.connection import get_ephemeral

_KEY = "tracking:notified"
#: Seconds after which a mark whose notification was lost no longer counts.
LIFETIME_SECONDS = 5
#: Seconds that a notified worker waits before it clears the mark and reads.
LINGER_SECONDS = 0.1

_lock = threading.Lock()
#: When a worker may clear, at the earliest, the last mark that this process set: until then there is nothing to ask.
_marked_until = 0.0


def mark() -> bool:
    """Set the mark; return whether it was not set, so that a notification must be enqueued.

    Raises one of `ephemeral.connection.ERRORS` without Redis, as `clear` does.
    """
    global _marked_until
    began = time.monotonic()
    with _lock:
        if began < _marked_until:
            return False
    is_new = bool(get_ephemeral().set(_KEY, "1", nx=True, ex=LIFETIME_SECONDS))
    if is_new:
        # The worker is notified after this moment, and waits.
        with _lock:
            _marked_until = began + LINGER_SECONDS
    return is_new


def clear() -> None:
    """Remove the mark: what is committed from now on needs a new notification."""
    get_ephemeral().delete(_KEY)
