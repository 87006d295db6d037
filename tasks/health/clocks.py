"""Judges the clocks of processes by that of Redis. A wrong one is only warned of: PostgreSQL's clock decides."""

from __future__ import annotations

from collections.abc import Sequence

from ephemeral.heartbeats import Process
from rules.durations import format_duration
from tasks.health.parts import Problem

#: A clock that differs from Redis's by more is reported.
CLOCK_SKEW_SECONDS = 10.0


def is_skewed(process: Process) -> bool:
    """Whether the clock of this process's host is wrong."""
    return abs(process.clock_skew_seconds) > CLOCK_SKEW_SECONDS


def describe_skew(part: str, processes: Sequence[Process]) -> Problem:
    """Return the warning about processes whose clock is wrong."""
    worst = max(processes, key=lambda process: abs(process.clock_skew_seconds))
    skew = worst.clock_skew_seconds
    return Problem(
        f"clock:{part}",
        part,
        "warning",
        f"The clock of a process is {format_duration(abs(skew))} {'ahead' if skew > 0 else 'behind'}",
        f"A process of the program {worst.program} runs on a host whose clock differs from Redis's. Waits, leases "
        "and limits use PostgreSQL's clock, so only its logs have wrong times.",
        "Synchronize the host's clock (NTP).",
    )
