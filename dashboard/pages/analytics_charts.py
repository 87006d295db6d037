"""The charts of the page of analytics, as the tables from which the browser draws them: a row for each day or hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from dashboard.pages.analytics_form import OUTCOME_LABELS
from dashboard.pages.analytics_period import Bucket, Period
from dashboard.pages.analytics_texts import describe_counts, describe_times, format_count, format_milliseconds
from models.reports.analytics_executions import Point
from models.reports.analytics_filters import AnalyticsFilters, Kind
from models.reports.analytics_reader import Numbers
from rules.tallies import Outcome

#: The parts of a bar from the ground up, with their tokens. Those of `_ALWAYS` are there without executions, too.
_COLORS: dict[Outcome, str] = {
    "succeeded": "eligible", "active": "checking", "skipped": "skipped", "cancelled": "queued", "unknown": "generating",
    "timed_out": "sending", "failed": "failed",
}  # fmt: skip
_ALWAYS: dict[Kind, tuple[Outcome, ...]] = {
    "everything": ("succeeded", "skipped", "failed"), "automations": ("succeeded", "skipped", "failed"),
    "playbooks": ("succeeded", "failed"),
}  # fmt: skip

#: The path of the list of executions with an outcome (None: all) from a moment to another; empty where there is none.
BuildPath = Callable[[Outcome | None, datetime, datetime], str]


@dataclass(frozen=True)
class Column:
    """A series: its name, its label, how it is drawn, its token, and its number in the whole period with its list."""

    name: str
    label: str
    kind: str
    color: str
    total: str
    path: str = ""


@dataclass(frozen=True)
class Cell:
    """A number with its text and its list; None was not measured."""

    value: int | None
    text: str
    path: str = ""


@dataclass(frozen=True)
class Row:
    """One bucket: its name, its short name below the chart, and a cell for each column."""

    label: str
    tick: str
    cells: list[Cell]


@dataclass(frozen=True)
class Cause:
    """Something that explains a bucket: its index, what happened, and where to see it."""

    index: int
    tone: str
    text: str
    label: str
    path: str


@dataclass(frozen=True)
class Chart:
    """A chart with its table, and the sentence that says what it shows."""

    columns: list[Column]
    rows: list[Row]
    causes: list[Cause]
    range: str
    summary: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return all(cell.value is None for row in self.rows for cell in row.cells)


def build_status_chart(
    period: Period,
    points: Sequence[Point],
    before: Sequence[Point] | None,
    totals: Numbers,
    filters: AnalyticsFilters,
    before_label: str,
    build_path: BuildPath,
    causes: list[Cause],
) -> Chart:
    """Executions by outcome, with those of the earlier period where there is one."""
    always = _ALWAYS[filters.kind] if filters.status is None else (filters.status,)
    outcomes = [outcome for outcome in _COLORS if outcome in always or totals["outcomes"].get(outcome)]
    buckets = period.list_buckets()
    columns = [
        Column(
            outcome, OUTCOME_LABELS[outcome], "bar", _COLORS[outcome],
            format_count(totals["outcomes"].get(outcome, 0)), build_path(outcome, period.since, period.until),
        )
        for outcome in outcomes
    ]  # fmt: skip
    earlier = [point["executions"] for point in before] if before is not None else None
    if earlier is not None:
        columns.append(Column("before", before_label, "dash", "text", format_count(sum(earlier))))
    rows = [
        Row(bucket.label, bucket.tick, [*_build_outcomes(bucket, point, outcomes, build_path), *cells])
        for bucket, point, cells in zip(buckets, points, _build_earlier(earlier, len(buckets)), strict=True)
    ]
    counts = [point["executions"] for point in points]
    summary = describe_counts([bucket.label for bucket in buckets], counts, period.unit)
    return Chart(columns, rows, causes, period.describe(), summary)


def _build_outcomes(bucket: Bucket, point: Point, outcomes: Sequence[Outcome], build_path: BuildPath) -> list[Cell]:
    counts = [(outcome, point["outcomes"].get(outcome, 0)) for outcome in outcomes]
    return [
        Cell(count, format_count(count), build_path(outcome, bucket.since, bucket.until) if count else "")
        for outcome, count in counts
    ]


def _build_earlier(counts: Sequence[int] | None, length: int) -> list[list[Cell]]:
    """The cell of the earlier period in each row. Where it has fewer buckets, such as on a day of 23 hours, the last
    one has none."""
    if counts is None:
        return [[] for _ in range(length)]
    padded = [count for count, _ in zip_longest(counts[:length], range(length))]
    return [[Cell(count, "–" if count is None else format_count(count))] for count in padded]


def build_time_chart(period: Period, points: Sequence[Point], totals: Numbers) -> Chart:
    """The 50th and 95th percentile of the time of succeeded executions."""
    buckets = period.list_buckets()
    columns = [
        Column("p50", "p50", "line", "ready_to_send", format_milliseconds(totals["p50_ms"])),
        Column("p95", "p95", "area", "sending", format_milliseconds(totals["p95_ms"])),
    ]
    rows = [
        Row(
            bucket.label,
            bucket.tick,
            [Cell(value, format_milliseconds(value)) for value in (point["p50_ms"], point["p95_ms"])],
        )
        for bucket, point in zip(buckets, points, strict=True)
    ]
    slow = [point["p95_ms"] for point in points]
    summary = describe_times([bucket.label for bucket in buckets], slow, totals["p50_ms"], totals["p95_ms"])
    return Chart(columns, rows, [], period.describe(), summary)
