"""A program of Beckon on a host whose clock is wrong: `skewed_worker.py <seconds ahead> <program or queue>`."""

import datetime
import sys
import time

OFFSET_SECONDS = float(sys.argv[1])
_time = time.time


class SkewedDatetime(datetime.datetime):
    """The host's wrong current time."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return datetime.datetime.fromtimestamp(_time() + OFFSET_SECONDS, tz)


time.time = lambda: _time() + OFFSET_SECONDS

import clock  # noqa: E402

clock.datetime = SkewedDatetime  # type: ignore[misc]

from workers.scheduler import run_scheduler  # noqa: E402
from workers.worker_process import PROGRAMS, run_worker  # noqa: E402

if sys.argv[2] == "scheduler":
    run_scheduler()
else:
    run_worker(PROGRAMS.get(sys.argv[2], (sys.argv[2],)))
