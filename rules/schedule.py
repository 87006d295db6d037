"""Parses and computes the times of the workflow language: durations, cron expressions, times of day, active hours.

`now` is always an aware time; results are aware UTC. Where an offset changes:

- one local date-time (`send_at`, the opening of active hours) in a gap is read with the offset before the gap, and is
  the first of two;
- all ticks of a cron expression in a gap are one tick at its end; in an hour that occurs twice a fixed hour ticks once,
  and an hour field with `*` or `/` ticks both times;
- whether active hours are open is read off the local clock, also in an hour that occurs twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from rules import local_time

#: Days of the week in the language; Monday is 0 as in `date.weekday()`.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class ActiveHours:
    """A daily window from `start` up to, but not including, `end`, on the days it *begins*.

    An `end` before the `start` crosses midnight; equal values mean 24 hours. `timezone` is `contact`,
    `workspace` or the name of a zone.
    """

    start: time
    end: time
    days: frozenset[int]
    timezone: str = "contact"


@lru_cache(maxsize=1024)
def parse_duration(duration: str) -> float:
    """Return the seconds in a duration like `45s`, `10m`, `2h`, `3d`, `1w`. Raises `ValueError` for anything else."""
    match = _DURATION.fullmatch(duration)
    if not match:
        raise ValueError('must be a duration such as "30s", "10m", "2h", "3d" or "1w"')
    return float(int(match[1]) * _UNITS[match[2]])


@lru_cache(maxsize=1024)
def parse_time_of_day(text: str) -> time:
    """Parse a time such as `09:00`. Raises `ValueError` for anything else."""
    match = _TIME_OF_DAY.fullmatch(text)
    if not match:
        raise ValueError('must be a time of day such as "09:00"')
    return time(int(match[1]), int(match[2]))


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name such as `Europe/Rome`. Raises `ValueError` for an unknown name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'"{name[:60]}" is not a time zone such as "Europe/Rome"') from None


def _parse_cron(cron: str, after: datetime) -> CronSim:
    if len(cron.split()) != 5:
        raise ValueError("must be a cron expression of five fields: minute hour day month weekday")
    try:
        return CronSim(cron.upper(), after)
    except CronSimError as error:
        raise ValueError(f"is not a cron expression: {str(error) or 'invalid'}") from None


def find_next_tick(cron: str, zone: str, after: datetime) -> datetime:
    """Return the first time after `after` at which the cron expression is due in `zone`.

    Raises `ValueError` for an invalid expression or zone, and for an expression that is never due (31 February).
    """
    local_zone = find_zone(zone)
    local = after.astimezone(local_zone).replace(tzinfo=None)
    tick = _find_first_tick(cron, local, after, local_zone, local_time.resolve)
    if not _ticks_in_both_hours(cron):
        return tick
    # During the first of two equal hours, the second one has ticks from its beginning on.
    length = local_time.resolve_second(local, local_zone) - local_time.resolve(local, local_zone)
    return min(tick, _find_first_tick(cron, local - length, after, local_zone, local_time.resolve_second))


def _ticks_in_both_hours(cron: str) -> bool:
    """Whether the expression follows the clock, rather than naming hours, where an hour occurs twice."""
    return not {"*", "/"}.isdisjoint(cron.split()[1])


def _find_first_tick(
    cron: str, local: datetime, after: datetime, zone: ZoneInfo, resolve: Callable[[datetime, ZoneInfo], datetime]
) -> datetime:
    """Return the first tick later than `after` whose local time is later than `local`."""
    for tick in _parse_cron(cron, local):
        at = local_time.find_gap_end(tick, zone) if local_time.is_in_gap(tick, zone) else resolve(tick, zone)
        if at > after:
            return at
    raise ValueError("is a cron expression that is never due")


def check_cron(cron: str) -> None:
    """Raise `ValueError` for a cron expression that is invalid or never due."""
    find_next_tick(cron, "UTC", datetime(2024, 1, 1, tzinfo=UTC))


def to_local_day(now: datetime, zone: str) -> date:
    """Return the calendar day in `zone` at `now`."""
    return now.astimezone(find_zone(zone)).date()


def is_open(hours: ActiveHours, zone: str, now: datetime) -> bool:
    """Whether the local time in `zone` at `now` is within the active hours."""
    local = now.astimezone(find_zone(zone))
    clock = local.time()
    today, yesterday = local.weekday(), (local.weekday() - 1) % 7
    if hours.start < hours.end:
        return today in hours.days and hours.start <= clock < hours.end
    if clock >= hours.start:
        return today in hours.days
    return clock < hours.end and yesterday in hours.days


def find_next_opening(hours: ActiveHours, zone: str, now: datetime) -> datetime | None:
    """Return when the active hours open next (UTC), or None if they are open at `now`.

    Looks fifteen days ahead: a weekly window can fall into a gap once, not twice. Raises `ValueError` if no day is
    listed.
    """
    if is_open(hours, zone, now):
        return None
    local_zone = find_zone(zone)
    today = now.astimezone(local_zone).date()
    for offset in range(16):
        day = today + timedelta(days=offset)
        openings = [at for at in _list_possible_openings(hours.start, day, local_zone) if at > now]
        open_times = [at for at in openings if is_open(hours, zone, at)]
        if open_times:
            return min(open_times)
    raise ValueError("these active hours never open")


def _list_possible_openings(start: time, day: date, zone: ZoneInfo) -> list[datetime]:
    """Return the start, both times where it occurs twice, and when the clock is put back into the window."""
    local = datetime.combine(day, start)
    openings = [local_time.resolve(local, zone), local_time.resolve_second(local, zone)]
    early, late = (local_time.resolve(datetime.combine(day + timedelta(days=n), time.min), zone) for n in (0, 1))
    if early.astimezone(zone).utcoffset() != late.astimezone(zone).utcoffset():
        change = local_time.find_offset_change(early, late, zone)
        if _is_put_back(change, zone):
            openings.append(change)
    return openings


def _is_put_back(change: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock is put back at this change of its offset."""
    before, after = (at.astimezone(zone).replace(tzinfo=None) for at in (change - timedelta(seconds=1), change))
    return after < before


def parse_send_time(text: str, zone: str, now: datetime) -> datetime:
    """Return the time of a step's `send_at`: a time of day (its next occurrence in `zone`) or an RFC 3339 timestamp.

    A timestamp without an offset is local time in `zone`. A past timestamp is returned unchanged and is due. Raises
    `ValueError` for anything else.
    """
    if _TIME_OF_DAY.fullmatch(text.strip()):
        return _find_next_wall_time(parse_time_of_day(text.strip()), zone, now)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            'must be a time of day such as "09:00" or a timestamp such as "2026-05-04T09:00:00Z"'
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else local_time.resolve(moment, find_zone(zone))


def _find_next_wall_time(start: time, zone: str, now: datetime) -> datetime:
    local_zone = find_zone(zone)
    today = datetime.combine(now.astimezone(local_zone).date(), start)
    at = local_time.resolve(today, local_zone)
    return at if at >= now else local_time.resolve(today + timedelta(days=1), local_zone)
