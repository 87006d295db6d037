"""Finds the moments of local times: where an offset changes, a local time exists twice or not at all.

A `local` time has no zone; results are aware UTC. A zone follows the tz database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def resolve(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment of a local time: of two the first; one in a gap is read with the offset before the gap.

    So 02:30 in a gap of one hour is 03:30 (RFC 5545, 3.3.5).
    """
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


def resolve_second(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the second moment of a local time that exists twice, and the only one of any other."""
    return local.replace(tzinfo=zone, fold=0 if is_in_gap(local, zone) else 1).astimezone(UTC)


def is_in_gap(local: datetime, zone: ZoneInfo) -> bool:
    """Whether the local time does not exist, because the clock is put forward over it."""
    return resolve(local, zone).astimezone(zone).replace(tzinfo=None) != local


def find_gap_end(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment at which the gap around a local time ends. Raises `ValueError` for one that exists."""
    if not is_in_gap(local, zone):
        raise ValueError("this local time is in no gap")
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return find_offset_change(before, resolve(local, zone), zone)


def find_offset_change(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """Return when the offset changes between two moments that differ in it, to the second."""
    before = early.astimezone(zone).utcoffset()
    while late - early > _SECOND:
        middle = early + _SECOND * ((late - early) // (2 * _SECOND))
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late
