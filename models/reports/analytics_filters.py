"""What an answer of Analytics is about: a period in the workspace's time zone, and filters.

Counts are kept by the hour (by the quarter of an hour where the zone is not whole hours from UTC): a period is widened
to such edges. Days begin at midnight of the workspace's zone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Kind = Literal["everything", "automations", "playbooks"]
Interval = Literal["hour", "day"]
#: What executions are counted by. An execution has one value of each; one without has the empty value.
Dimension = Literal["device", "page", "trigger"]

#: The longest period, and how far back counts are kept.
MAX_DAYS = 90
#: `trigger` of an execution of an automation is its event's name, of a playbook the condition that came true last.
DIMENSIONS: tuple[Dimension, ...] = ("device", "page", "trigger")


class NotCountedTogether(ValueError):
    """Filters by two of device, page and trigger: executions are counted by each, not by their combinations."""


@dataclass(frozen=True)
class AnalyticsFilters:
    """A period from `since` to `until` (exclusive), and optional filters, combined with AND.

    `kind` "automations" selects executions of the engine, "playbooks" those in visitors' browsers. `channel` selects
    the automations that sent a message on it in the period, and the messages on it. `device`, `page` (its path) and
    `trigger` are values of `Dimension`; "" selects executions without one. `status` is an outcome
    (`rules.tallies.Outcome`).
    """

    since: datetime
    until: datetime
    zone: str = "UTC"
    kind: Kind = "everything"
    automation_id: str | None = None
    channel: str | None = None
    device: str | None = None
    page: str | None = None
    trigger: str | None = None
    status: str | None = None

    def get_zone(self) -> ZoneInfo:
        """Return the time zone."""
        return ZoneInfo(self.zone)

    @property
    def is_by_execution(self) -> bool:
        """Whether a filter asks for a property of executions, by which steps and messages are not counted."""
        return self.status is not None or bool(self._list_values())

    def get_value(self) -> tuple[Dimension, str] | None:
        """Return the dimension that is filtered with its value, or None. Raises `NotCountedTogether`."""
        values = self._list_values()
        if len(values) > 1:
            raise NotCountedTogether(f"{values[0][0]} and {values[1][0]} are not counted together")
        return values[0] if values else None

    def _list_values(self) -> list[tuple[Dimension, str]]:
        values = {"device": self.device, "page": self.page, "trigger": self.trigger}
        return [(name, value) for name in DIMENSIONS if (value := values[name]) is not None]

    def build_previous(self) -> AnalyticsFilters:
        """Return the same filters for the period of the same length that ends where this one begins; a period of whole
        local days has whole local days before it."""
        zone = self.get_zone()
        since, until = self.since.astimezone(zone), self.until.astimezone(zone)
        # On the wall clock, so that a change to summer time moves no edge.
        length = until.replace(tzinfo=None) - since.replace(tzinfo=None)
        before = (since.replace(tzinfo=None) - length).replace(tzinfo=zone)
        return replace(self, since=before.astimezone(UTC), until=self.since)

    def list_edges(self, by: Interval) -> list[datetime]:
        """Return where the intervals of the period begin: local midnights, or full local hours."""
        zone = self.get_zone()
        first = self.since.astimezone(zone)
        if by == "day":
            days = ((self.until - timedelta(microseconds=1)).astimezone(zone).date() - first.date()).days
            return [
                datetime.combine(first.date() + timedelta(days=day), time.min, zone).astimezone(UTC)
                for day in range(days + 1)
            ]
        start = (
            first - timedelta(minutes=first.minute, seconds=first.second, microseconds=first.microsecond)
        ).astimezone(UTC)
        hours = -(-(self.until - start) // timedelta(hours=1))
        return [start + timedelta(hours=hour) for hour in range(hours)]

    def find_bounds(self) -> tuple[datetime, datetime]:
        """Return the period, widened to the edges that are counted."""
        return _floor(self.since, self.zone), _ceil(self.until, self.zone)


def _floor(moment: datetime, zone: str) -> datetime:
    step = timedelta(hours=1) if _is_whole_hours(moment, zone) else timedelta(minutes=15)
    return moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % step


def _ceil(moment: datetime, zone: str) -> datetime:
    floor = _floor(moment, zone)
    if floor == moment:
        return moment
    return floor + (timedelta(hours=1) if _is_whole_hours(moment, zone) else timedelta(minutes=15))


def _is_whole_hours(moment: datetime, zone: str) -> bool:
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    return not offset % timedelta(hours=1)
