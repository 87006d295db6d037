"""Computes the delay of a sign-in attempt: delays grow with an account's failures and decay with time.

An account's first failures are free. Each further failure closes the account for a while to browsers that have never
signed in to it. A browser that arrives while the account is closed gets its own turn: it waits for the current delay
and may then try once, however many others have failed in the meantime. So its wait is bounded, whatever others do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Delays:
    """How delays grow and decay, in milliseconds."""

    #: By number of failures, starting at 0; the last entry covers all higher numbers.
    after_failures_ms: tuple[int, ...] = (0, 0, 0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000)
    #: One failure is removed for each interval of this length without another.
    forget_ms: int = 60_000
    #: An unused turn is kept for this long.
    keep_turn_ms: int = 600_000


@dataclass(frozen=True)
class Failures:
    """An account's failures, and the time of the last one."""

    count: int
    at_ms: int


@dataclass(frozen=True)
class Decision:
    """Whether a browser may try now (`wait_ms` is 0), and the state to store for the account and the browser."""

    wait_ms: int
    failures: Failures
    #: The time of the browser's turn; None without one.
    turn_ms: int | None


def split(delays: Delays, processes: int) -> Delays:
    """Return the delays of one of several processes that count for themselves: each failure stands for one in each."""
    steps, last = delays.after_failures_ms, len(delays.after_failures_ms) - 1
    parts = (steps[min(count * processes, last)] for count in range(math.ceil(last / processes) + 1))
    return replace(delays, after_failures_ms=tuple(parts), forget_ms=delays.forget_ms * processes)


def decide(delays: Delays, failures: Failures | None, turn_ms: int | None, now_ms: int) -> Decision:
    """Decide on a browser's attempt. An attempt counts as a failure until it has succeeded."""
    previous = failures or Failures(0, now_ms)
    count = max(0, previous.count - max(0, now_ms - previous.at_ms) // delays.forget_ms)
    opens_ms = previous.at_ms + delays.after_failures_ms[count]
    waits_until_ms = opens_ms if turn_ms is None else min(turn_ms, opens_ms)
    if now_ms < waits_until_ms:
        return Decision(waits_until_ms - now_ms, previous, waits_until_ms)
    maximum = len(delays.after_failures_ms) - 1
    return Decision(0, Failures(min(count + 1, maximum), now_ms), None)
