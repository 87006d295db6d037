"""Parses and computes the times of the workflow language: durations, cron expressions, times of day, active hours.

`now` is always an aware time; results are aware UTC. Local time follows the tz database: a nonexistent local time
moves forward to the end of the gap, one that exists twice counts both times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

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
    try:
        return next(_parse_cron(cron, after.astimezone(find_zone(zone)))).astimezone(UTC)
    except StopIteration:
        raise ValueError("is a cron expression that is never due") from None


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

    Looks fifteen days ahead: a weekly window can fall into a DST gap once, not twice. Raises `ValueError` if no day is
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
    """Return midnight, the start in both folds, and the offset change of that day, if any."""
    local = [datetime.combine(day, start, zone).replace(fold=fold) for fold in (0, 1)]
    moments = [moment.astimezone(UTC) for moment in (*local, datetime.combine(day, time.min, zone))]
    change = _find_offset_change(day, zone)
    return [*moments, change] if change else moments


def _find_offset_change(day: date, zone: ZoneInfo) -> datetime | None:
    """Return when the zone's offset changes on `day` (UTC, to the second); None on most days."""
    early = datetime.combine(day, time.min, zone).astimezone(UTC)
    late = datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC)
    before = early.astimezone(zone).utcoffset()
    if before == late.astimezone(zone).utcoffset():
        return None
    while late - early > timedelta(seconds=1):
        middle = early + timedelta(seconds=(late - early) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late


def parse_send_time(text: str, zone: str, now: datetime) -> datetime:
    """Return the time of a step's `send_at`: a time of day (its next occurrence in `zone`) or an RFC 3339 timestamp.

    A past timestamp is returned unchanged and is due. Raises `ValueError` for anything else.
    """
    if _TIME_OF_DAY.fullmatch(text.strip()):
        return _find_next_wall_time(parse_time_of_day(text.strip()), zone, now)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            'must be a time of day such as "09:00" or a timestamp such as "2026-05-04T09:00:00Z"'
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=find_zone(zone))).astimezone(UTC)


def _find_next_wall_time(start: time, zone: str, now: datetime) -> datetime:
    local_zone = find_zone(zone)
    today = datetime.combine(now.astimezone(local_zone).date(), start, local_zone)
    at = today if today.astimezone(UTC) >= now else today + timedelta(days=1)
    return at.astimezone(UTC)
