"""Decides which of a schedule's due ticks starts, and which are skipped because they come too late.

Of several ticks that are due, the last starts and stands for those before it. A tick that is due for longer than the
schedule's `catch_up` never starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rules.schedule import find_next_tick, parse_duration

#: How late a tick may start without `catch_up`.
DEFAULT_CATCH_UP = "1h"
#: A tick that starts this late is on time: schedulers look every second, and another takes over within 15 s.
ON_TIME_SECONDS = 60.0
#: Skipped ticks are counted up to this number.
MAX_COUNTED = 1_000

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class SkippedTicks:
    """Ticks that never start: how many (at most `MAX_COUNTED` are counted), the first and the last."""

    count: int
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class DueTicks:
    """The tick that starts now, if any, and the ticks that are skipped."""

    start: datetime | None
    skipped: SkippedTicks | None


def parse_catch_up(trigger: Mapping[str, Any]) -> float:
    """Return the seconds by which a tick of this trigger may be late; 0 means that no missed tick is made up for."""
    text = str((trigger.get("with") or {}).get("catch_up", DEFAULT_CATCH_UP))
    return 0.0 if text == "0" else parse_duration(text)


def sort_due_ticks(cron: str, zone: str, first: datetime, now: datetime, catch_up_seconds: float) -> DueTicks:
    """Sort the ticks that are due at `now`; `first` is the earliest of them."""
    since = now - timedelta(seconds=max(catch_up_seconds, ON_TIME_SECONDS))
    if first >= since:
        return DueTicks(_find_last_tick(cron, zone, first, now) or first, None)
    last = _find_last_tick(cron, zone, first, since - _INSTANT) or first
    skipped = SkippedTicks(_count_ticks(cron, zone, first, last), first, last)
    return DueTicks(_find_last_tick(cron, zone, since - _INSTANT, now), skipped)


def _find_last_tick(cron: str, zone: str, after: datetime, until: datetime) -> datetime | None:
    """Return the last tick later than `after` and no later than `until`, or None.

    The search begins at the end, because years may lie between both.
    """
    span = timedelta(minutes=1)
    while (tick := find_next_tick(cron, zone, max(after, until - span))) > until:
        if until - span <= after:
            return None
        span *= 2
    while (following := find_next_tick(cron, zone, tick)) <= until:
        tick = following
    return tick


def _count_ticks(cron: str, zone: str, first: datetime, last: datetime) -> int:
    count, tick = 1, first
    while tick < last and count < MAX_COUNTED:
        count, tick = count + 1, find_next_tick(cron, zone, tick)
    return count
