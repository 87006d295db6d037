"""The overview's chart as shapes of an SVG: sent up and failed below one axis, changes between, lateness underneath.

Pure: every time comes in. Sent and failed have the same scale. The page shows the same numbers as a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar
from zoneinfo import ZoneInfo

from dashboard.pages.changes import Change
from dashboard.pages.chart import Bar
from models.lateness import SampleRow
from models.stuck import LATE_AFTER

LEFT, RIGHT = 42, 10
ICON = 18
#: A small count stays visible beside a large one.
_MIN_HEIGHT = 3.0
_STEPS = (1, 2, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class Window:
    """A period of the chart: its name, its length, the length of a bar, and the distance of the times below it."""

    name: str
    label: str
    length: timedelta
    step: timedelta
    tick: timedelta
    time_format: str


WINDOWS = {
    "hour": Window("hour", "1 h", timedelta(hours=1), timedelta(minutes=2), timedelta(minutes=10), "%H:%M"),
    "day": Window("day", "24 h", timedelta(hours=24), timedelta(minutes=30), timedelta(hours=3), "%H:%M"),
    "week": Window("week", "7 d", timedelta(days=7), timedelta(hours=2), timedelta(days=1), "%a %d"),
}


@dataclass(frozen=True)
class Tick:
    """A label of an axis, with its place."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A change on the time axis: its icon, moved aside where icons would overlap, and its exact place."""

    change: Change
    x: float
    icon_x: float


@dataclass(frozen=True)
class Chart:
    """The shapes, for one width."""

    #: Heights in SVG units, from the top: below the label of an outage, the axis of the bars, the room below it, the
    #: icons, and lateness.
    TOP: ClassVar = 26
    ZERO: ClassVar = 206
    BELOW: ClassVar = 236
    ICONS: ClassVar = 242
    LATE_TOP: ClassVar = 288
    LATE_ZERO: ClassVar = 348
    HEIGHT: ClassVar = 372

    width: int
    bars: list[Bar]
    counts: list[Tick]
    times: list[Tick]
    marks: list[Mark]
    line: str
    late: list[Tick]
    alert_y: float
    #: The last point of the line, if something is late now: x, y and minutes.
    now_late: tuple[float, float, int] | None
    #: Where a failure that lasts began, and its label.
    outage: Tick | None


@dataclass(frozen=True)
class Series:
    """What the chart shows: counts by the start of each interval, samples of lateness, and changes."""

    since: datetime
    now: datetime
    sent: Mapping[datetime, int]
    failed: Mapping[datetime, int]
    held: int
    samples: Sequence[SampleRow]
    #: The longest delay now, in seconds.
    late_now: int
    changes: Sequence[Change]
    outage: tuple[datetime, str] | None = None


def find_start(window: Window, now: datetime) -> datetime:
    """The start of the window: of its first whole interval, counted from 1970 as PostgreSQL's `date_bin` does."""
    seconds = window.step.total_seconds()
    newest = now.timestamp() // seconds * seconds
    return datetime.fromtimestamp(newest, now.tzinfo) - window.length + window.step


def list_intervals(window: Window, since: datetime, now: datetime) -> list[datetime]:
    """The starts of all intervals, oldest first."""
    return [since + number * window.step for number in range(int((now - since) / window.step) + 1)]


def build_chart(window: Window, series: Series, zone: ZoneInfo, width: int) -> Chart:
    """The chart in `width` units."""
    axis = _TimeAxis(series.since, series.now, width)
    starts = list_intervals(window, series.since, series.now)
    unit, top = _find_scale(series)
    longest = max(series.late_now, *(row["oldest_seconds"] for row in series.samples), 0)
    late_top = 2 * _find_top(max(2.0, longest / 120))
    points = _build_points(window, series)
    line = [(axis.find_x(at), _find_late_y(seconds / 60, late_top)) for at, seconds in points]
    return Chart(
        width,
        _build_bars(window, series, axis, starts, unit),
        [Tick(Chart.ZERO - count * unit, f"{count:,}") for count in (0, top // 3, 2 * top // 3, top)],
        _build_times(window, series, axis, zone),
        _build_marks(series, axis),
        " ".join(f"{x:.1f},{y:.1f}" for x, y in line),
        [Tick(_find_late_y(minutes, late_top), f"{minutes:,}") for minutes in (0, late_top // 2, late_top)],
        _find_late_y(LATE_AFTER.total_seconds() / 60, late_top),
        (*line[-1], series.late_now // 60) if series.late_now >= LATE_AFTER.total_seconds() else None,
        Tick(axis.find_x(series.outage[0]), series.outage[1]) if series.outage else None,
    )


class _TimeAxis:
    def __init__(self, since: datetime, now: datetime, width: int) -> None:
        self.since = since
        self.right = width - RIGHT
        self.unit = (self.right - LEFT) / max(1.0, (now - since).total_seconds())

    def find_x(self, at: datetime) -> float:
        return round(min(float(self.right), max(LEFT, LEFT + (at - self.since).total_seconds() * self.unit)), 2)


def _find_top(value: float) -> int:
    """The smallest of 1, 2, 3, 4, 5, 6, 8, 10, 20 … that is not less."""
    power = 1
    while True:
        for step in _STEPS:
            if step * power >= value:
                return step * power
        power *= 10


def _find_scale(series: Series) -> tuple[float, int]:
    """The height of one execution, the same above and below the axis, and the highest label of the axis."""
    newest = max(series.sent, default=series.since)
    most = max([3, *series.sent.values(), series.sent.get(newest, 0) + series.held])
    top = 3 * _find_top(most / 3)
    unit = (Chart.ZERO - Chart.TOP) / top
    most_failed = max(series.failed.values(), default=0)
    return (min(unit, (Chart.BELOW - Chart.ZERO) / most_failed) if most_failed else unit), top


def _build_bars(
    window: Window, series: Series, axis: _TimeAxis, starts: Sequence[datetime], unit: float
) -> list[Bar]:  # fmt: skip
    bars = []
    for start in starts:
        x, end = axis.find_x(start), axis.find_x(min(start + window.step, series.now))
        width = round(max(1.0, end - x - 1.5), 2)
        sent, failed = series.sent.get(start, 0), series.failed.get(start, 0)
        height = _find_height(sent, unit)
        bars.append(Bar("sent", x, round(Chart.ZERO - height, 2), width, height))
        bars.append(Bar("failed", x, Chart.ZERO + 2, width, _find_height(failed, unit)))
        if start == starts[-1] and series.held:
            held = _find_height(series.held, unit)
            held_width = max(width, axis.find_x(start + window.step) - x - 1.5, 5.0)
            bars.append(
                Bar("held", round(axis.right - held_width, 2), round(Chart.ZERO - height - held, 2), held_width, held)
            )
    return [bar for bar in bars if bar.height]


def _find_height(count: int, unit: float) -> float:
    return round(max(_MIN_HEIGHT, count * unit), 2) if count else 0.0


def _find_late_y(minutes: float, top: int) -> float:
    return round(Chart.LATE_ZERO - minutes / top * (Chart.LATE_ZERO - Chart.LATE_TOP), 2)


def _build_points(window: Window, series: Series) -> list[tuple[datetime, int]]:
    """The longest delay of each part of an interval, and the one of now; a minute without a sample had none."""
    step = max(timedelta(minutes=1), window.step / 4)
    worst: dict[int, int] = {}
    for row in series.samples:
        number = int((row["at"] - series.since) / step)
        worst[number] = max(worst.get(number, 0), row["oldest_seconds"])
    last = int((series.now - series.since) / step)
    points = [(series.since + (number + 1) * step, worst.get(number, 0)) for number in range(last)]
    return [*points, (series.now, series.late_now)]


def _build_times(window: Window, series: Series, axis: _TimeAxis, zone: ZoneInfo) -> list[Tick]:
    """The times below the chart, in the workspace's zone; every second one where they would overlap."""
    start = series.since.astimezone(zone)
    seconds = window.tick.total_seconds()
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = (start - midnight).total_seconds()
    first = midnight + timedelta(seconds=-(-passed // seconds) * seconds)
    room = window.tick.total_seconds() * axis.unit
    every = max(1, round(58 / room + 0.49))
    ticks, number = [], 0
    while (at := first + number * every * window.tick) <= series.now:
        x = axis.find_x(at)
        if x < axis.right - 70:
            ticks.append(
                Tick(x, at.strftime("%a %H:%M" if window.name == "day" and at.hour == 0 else window.time_format))
            )
        number += 1
    return [*ticks, Tick(float(axis.right), f"now {series.now.astimezone(zone):%H:%M}")]


def _build_marks(series: Series, axis: _TimeAxis) -> list[Mark]:
    """The changes in the window, newest first. An icon moves left of the next one where they would overlap; equal
    icons at one place are one."""
    marks: list[Mark] = []
    place = float(axis.right) - ICON / 2 + RIGHT / 2
    for change in series.changes:
        x = axis.find_x(change.at)
        is_repeated = bool(marks) and marks[-1].change.icon == change.icon and marks[-1].x - x < ICON / 2
        if change.at < series.since or place < LEFT or is_repeated:
            continue
        place = min(x, place)
        marks.append(Mark(change, x, round(place - ICON / 2, 2)))
        place -= ICON + 2
    return marks
