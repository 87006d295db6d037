"""Whether the tracking program was already notified of accepted executions and has not yet started.

Thousands of commits a second need one notification at a time: a worker clears the mark before it reads, so whatever was
committed while the mark stood is read by it. A mark whose notification was lost expires; meanwhile a sweep records.
"""

from __future__ import annotations

from ephemeral.connection import get_ephemeral

_KEY = "tracking:notified"
#: Seconds after which a mark whose notification was lost no longer counts.
LIFETIME_SECONDS = 5


def mark() -> bool:
    """Set the mark; return whether it was not set, so that a notification must be enqueued.

    Raises one of `ephemeral.connection.ERRORS` without Redis, as `clear` does.
    """
    return bool(get_ephemeral().set(_KEY, "1", nx=True, ex=LIFETIME_SECONDS))


def clear() -> None:
    """Remove the mark: what is committed from now on needs a new notification."""
    get_ephemeral().delete(_KEY)
