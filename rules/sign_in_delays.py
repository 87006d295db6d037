"""How long a browser waits that guesses at an account: delays grow with failures, and fade with time.

An account's first failures are free; from then on each failure closes it for a while to browsers that have never
signed in to it. A browser that comes while it is closed gets a turn of its own: it waits out the present delay and may
try once then, however many others have failed meanwhile. So its wait is bounded, whatever strangers do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Delays:
    """How delays grow and fade, in milliseconds."""

    #: By number of failures, from none; the last one is for as many and more.
    after_failures_ms: tuple[int, ...] = (0, 0, 0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000)
    #: One failure is forgotten for each time that this passes without another.
    forget_ms: int = 60_000
    #: A turn that is not taken is kept for so long.
    keep_turn_ms: int = 600_000


@dataclass(frozen=True)
class Failures:
    """An account's failures, and when the last one was."""

    count: int
    at_ms: int


@dataclass(frozen=True)
class Decision:
    """Whether a browser may try now (`wait_ms` is 0), and what to remember of the account and of the browser."""

    wait_ms: int
    failures: Failures
    #: When the browser's turn comes; None where it has none.
    turn_ms: int | None


def decide(delays: Delays, failures: Failures | None, turn_ms: int | None, now_ms: int) -> Decision:
    """What becomes of a browser that wants to try. A try counts as a failure until it is known to be none."""
    previous = failures or Failures(0, now_ms)
    count = max(0, previous.count - max(0, now_ms - previous.at_ms) // delays.forget_ms)
    opens_ms = previous.at_ms + delays.after_failures_ms[count]
    waits_until_ms = opens_ms if turn_ms is None else min(turn_ms, opens_ms)
    if now_ms < waits_until_ms:
        return Decision(waits_until_ms - now_ms, previous, waits_until_ms)
    maximum = len(delays.after_failures_ms) - 1
    return Decision(0, Failures(min(count + 1, maximum), now_ms), None)
