"""The application's current time: the only Python module that applies `BECKON_CLOCK_OFFSET`.

The SQL function `beckon_now()` is its counterpart in the database. PostgreSQL's clock decides between processes; this
one serves code that runs no query. Signature ages are checked against the real time, never against this clock.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

#: Seconds by which the application's time is ahead of the real one.
OFFSET_SECONDS = float(os.environ.get("BECKON_CLOCK_OFFSET") or 0)


def shift(real: datetime) -> datetime:
    """Convert a real timestamp, such as one a provider reports, to the application's time."""
    return real + timedelta(seconds=OFFSET_SECONDS)


def unshift(moment: datetime) -> datetime:
    """Convert the application's time to the real time, in which providers answer."""
    return moment - timedelta(seconds=OFFSET_SECONDS)


def now() -> datetime:
    """Return the application's current time as an aware UTC datetime."""
    return shift(datetime.now(UTC))
