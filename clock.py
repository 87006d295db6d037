"""The application's idea of now: the one Python function that knows `BECKON_CLOCK_OFFSET`.

Its twin in the database is the SQL function `beckon_now()`; between processes PostgreSQL's clock decides, this one
serves where no query is at hand. Ages of signatures never ask here: they are checked against the real time.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

#: Seconds by which the application's time is ahead of the real one.
OFFSET_SECONDS = float(os.environ.get("BECKON_CLOCK_OFFSET") or 0)


def shift(real: datetime) -> datetime:
    """A moment of the real world, such as a provider told it, in the application's time."""
    return real + timedelta(seconds=OFFSET_SECONDS)


def now() -> datetime:
    """The application's present moment, aware, in UTC."""
    return shift(datetime.now(UTC))
