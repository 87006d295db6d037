"""Decides what a circuit breaker does: it stops the calls of one workspace to a provider that does not answer.

    closed ── `TIMEOUTS_TO_OPEN` time-outs in a row ──> open ── after `PROBE_DELAY` ──> one call is let through (probe)
      ^                                                  ^                                    |
      |                                                  +-------- no answer: opens again ----+
      +------------------------------- an answer, whatever it says ---------------------------+

An answer ends a row of time-outs. A provider that cannot be reached neither answers nor holds a thread: it changes
nothing, except that a probe without an answer keeps the breaker open. While the breaker is open, calls that began
before it opened change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

#: Consecutive time-outs that open a breaker.
TIMEOUTS_TO_OPEN = 5
#: How long an open breaker lets nothing through before a probe.
PROBE_DELAY = timedelta(seconds=30)
#: How long a probe may take before another execution probes: its worker may be dead.
PROBE_TIMEOUT = timedelta(seconds=90)

#: The result of a call: it timed out, the provider answered, or the provider could not be reached.
CallResult = Literal["timed_out", "answered", "unreachable"]


@dataclass(frozen=True)
class Breaker:
    """The breaker of one provider in one workspace. It is open while `opened_at` and `probe_at` are set."""

    timeouts: int = 0
    opened_at: datetime | None = None
    #: When the next call is let through.
    probe_at: datetime | None = None
    #: The execution whose call is the probe in progress.
    probed_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls wait."""
        return self.opened_at is not None

    @property
    def is_suspect(self) -> bool:
        """Whether the last call timed out, or calls wait."""
        return self.timeouts > 0


#: Nothing timed out.
CLOSED = Breaker()


def apply_result(
    breaker: Breaker, result: CallResult, execution_id: str, now: datetime, *, began_open: bool = False
) -> Breaker:
    """Return the breaker after a call of an execution; `began_open` says that the call was let through an open one.

    Such a call is a probe, which may answer after another one has replaced it.
    """
    if breaker.is_open and began_open and result == "answered":
        return CLOSED
    if breaker.is_open:
        return _apply_probe(breaker, result, now) if breaker.probed_by == execution_id else breaker
    if result == "answered":
        return CLOSED
    if result == "unreachable":
        return breaker
    timeouts = breaker.timeouts + 1
    if timeouts < TIMEOUTS_TO_OPEN:
        return replace(breaker, timeouts=timeouts)
    return Breaker(timeouts, opened_at=now, probe_at=now + PROBE_DELAY)


def _apply_probe(breaker: Breaker, result: CallResult, now: datetime) -> Breaker:
    if result == "answered":
        return CLOSED
    timeouts = breaker.timeouts + (result == "timed_out")
    return replace(breaker, timeouts=timeouts, probe_at=now + PROBE_DELAY, probed_by=None)


def may_hold_thread(held: int, pool_size: int, *, is_unreliable: bool) -> bool:
    """Whether a provider of a workspace that holds so many threads of a pool may hold one more.

    Half of the pool is kept for others while its last calls timed out or all threads hang.
    """
    return not is_unreliable or held < max(1, pool_size // 2)


def count_lent_threads(hanging: int, pool_size: int) -> int:
    """Return how many more threads a pool may have while so many of its calls hang."""
    return max(1, pool_size // 2) if hanging >= pool_size else 0


def begin_probe(breaker: Breaker, execution_id: str, now: datetime) -> Breaker | None:
    """Return the breaker with this execution's call as its probe; None while calls wait.

    An execution whose probe was interrupted probes again.
    """
    if breaker.probe_at is None or (now < breaker.probe_at and breaker.probed_by != execution_id):
        return None
    return replace(breaker, probe_at=now + PROBE_TIMEOUT, probed_by=execution_id)
