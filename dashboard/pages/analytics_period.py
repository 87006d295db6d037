"""The period of the page of analytics: its days or hours in the workspace's zone, and the period it is compared with.

Pure: the current time comes in as an argument. Both periods have the same length: the earlier one ends where as much of
it has passed as of the current one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Range = Literal["24h", "7d", "30d", "90d", "custom"]
Unit = Literal["day", "hour"]

#: The ranges, in the order of the list.
RANGES: dict[Range, str] = {
    "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days", "90d": "Last 90 days", "custom": "Custom range",
}  # fmt: skip
_DAYS = {"7d": 7, "30d": 30, "90d": 90}
#: The longest range, and the longest one by hour: a longer chart has no room for its bars.
MAX_DAYS, MAX_DAYS_BY_HOUR = 90, 31


@dataclass(frozen=True)
class Bucket:
    """One day or hour: its start and end, its name, and the short name below the chart."""

    since: datetime
    until: datetime
    label: str
    tick: str


@dataclass(frozen=True)
class Period:
    """From `since` to before `until`, both in UTC, as whole days or hours of `zone`."""

    since: datetime
    until: datetime
    unit: Unit
    zone: ZoneInfo

    @property
    def days(self) -> int:
        """The days that it touches."""
        return (self.last_day - self.first_day).days + 1

    @property
    def first_day(self) -> date:
        """The day of its start."""
        return self.since.astimezone(self.zone).date()

    @property
    def last_day(self) -> date:
        """The day of its last moment."""
        return (self.until - timedelta(microseconds=1)).astimezone(self.zone).date()

    def list_buckets(self) -> list[Bucket]:
        """Its days or hours, oldest first."""
        return _list_days(self) if self.unit == "day" else _list_hours(self)

    def describe(self) -> str:
        """`1–30 November 2026`; a period within hours of one or two days says its hours."""
        if self.since == _start(self.first_day, self.zone) and self.until == _start(
            self.last_day + timedelta(days=1), self.zone
        ):
            return describe_days(self.first_day, self.last_day)
        since, until = (moment.astimezone(self.zone) for moment in (self.since, self.until))
        return f"{since:%-d %B %H:%M} – {until:%-d %B %H:%M}"

    def shift(self, days: int) -> Period:
        """The period as many days earlier, at the same local times."""
        return Period(_shift(self.since, days, self.zone), _shift(self.until, days, self.zone), self.unit, self.zone)


def build_period(
    name: Range, first: date | None, last: date | None, unit: Unit, zone: ZoneInfo, now: datetime
) -> Period:
    """The period of a range. `first` and `last` bound a custom one, in either order, the last 30 days by default; of a
    longer one than `MAX_DAYS` the end counts. Where hours have no room it has days."""
    today = now.astimezone(zone).date()
    if name == "24h":
        until = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return Period(until - timedelta(hours=24), until, "hour", zone)
    if name == "custom":
        last = last or today
        first, last = sorted((first or last - timedelta(days=29), last))
        first = max(first, last - timedelta(days=MAX_DAYS - 1))
    else:
        first, last = today - timedelta(days=_DAYS[name] - 1), today
    unit = unit if (last - first).days < MAX_DAYS_BY_HOUR else "day"
    return Period(_start(first, zone), _start(last + timedelta(days=1), zone), unit, zone)


def describe_days(first: date, last: date) -> str:
    """`22 November 2026`, `1–30 November 2026`, `25 October – 23 November 2026`."""
    if first == last:
        return f"{first:%-d %B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%-d}–{last:%-d %B %Y}"
    return f"{first:%-d %B}{f' {first.year}' if first.year != last.year else ''} – {last:%-d %B %Y}"


def _start(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _shift(moment: datetime, days: int, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone)
    return datetime.combine(local.date() - timedelta(days=days), local.timetz(), zone).astimezone(UTC)


def _list_days(period: Period) -> list[Bucket]:
    days = [period.first_day + timedelta(days=number) for number in range(period.days)]
    return [
        Bucket(
            _start(day, period.zone), _start(day + timedelta(days=1), period.zone), f"{day:%a %-d %b}", f"{day:%-d %b}"
        )
        for day in days
    ]


def _list_hours(period: Period) -> list[Bucket]:
    hours = int((period.until - period.since) / timedelta(hours=1))
    starts = [period.since + timedelta(hours=number) for number in range(hours)]
    return [_build_hour(start, period.zone, is_long=hours > 48) for start in starts]


def _build_hour(start: datetime, zone: ZoneInfo, *, is_long: bool) -> Bucket:
    local = start.astimezone(zone)
    tick = f"{local:%-d %b}" if is_long and local.hour == 0 else f"{local:%H:%M}"
    return Bucket(start, start + timedelta(hours=1), f"{local:%a %-d %b %H:%M}", tick)
