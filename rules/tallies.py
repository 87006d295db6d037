"""The numbers of Analytics: which statuses count as what, success rates, and times of buckets.

An unknown outcome is neither a success nor a failure: it is in no rate, here and on every page, and is shown apart.
"""

from __future__ import annotations

from typing import Literal, get_args

Span = Literal["hour", "day"]
#: What a message led to; `linked` is one with links whose clicks are counted.
ResponseKind = Literal["linked", "clicked", "replied", "unsubscribed"]
#: What became of an execution. `active` is in flight; `timed_out` is a tracked execution that did not finish in time.
Outcome = Literal["succeeded", "failed", "timed_out", "unknown", "skipped", "cancelled", "active"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
#: The outcomes that count as failures.
FAILURES: tuple[Outcome, ...] = ("failed", "timed_out")

#: Each bucket of times is wider than the one before by this factor, so that its middle is at most 5 % off.
BUCKET_RATIO = 1.1
#: The value that stands for all beyond the first hundred of a dimension.
OTHER = "other"


def compute_success_rate(succeeded: int, failed: int) -> float | None:
    """Return succeeded out of succeeded and failed, from 0 to 1; None while there are none. Unknown outcomes, skipped
    and cancelled executions are in neither."""
    return round(succeeded / (succeeded + failed), 4) if succeeded + failed else None


def compute_change(now: int, before: int) -> float | None:
    """Return the relative change, such as 0.14 for 14 % more; None if there was nothing before."""
    return round((now - before) / before, 4) if before else None


def estimate_ms(bucket: int) -> int:
    """Return the middle of a bucket in ms."""
    return 0 if bucket == 0 else round(BUCKET_RATIO ** (bucket - 0.5))
