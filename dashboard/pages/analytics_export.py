"""What the page of analytics shows, as CSV: one table, or all of them below each other. Numbers are plain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import flask

import clock
from dashboard.pages import labels, layout
from dashboard.pages.analytics_form import AnalyticsForm
from dashboard.pages.analytics_period import Period
from dashboard.pages.analytics_report import Report, load_report
from dashboard.pages.analytics_rows import name_action, name_device, name_page, name_trigger
from models.reports.analytics_executions import BreakdownRow
from models.reports.analytics_messages import MEASURES
from rules.csv_cells import format_row
from rules.schedule import find_zone
from rules.tallies import OUTCOMES

analytics_export_pages = flask.Blueprint("analytics-export-pages", __name__)

TableName = Literal["all", "time", "top", "channels", "experiments", "shares", "actions"]
#: The tables, as the menu calls them.
TABLES: dict[TableName, str] = {
    "all": "All tables", "time": "Executions over time", "top": "Automations and playbooks",
    "channels": "Messages by channel", "experiments": "Experiments", "shares": "Breakdowns",
    "actions": "Slowest actions",
}  # fmt: skip


class ExportForm(AnalyticsForm):
    """The filters of the page, and the table."""

    table: TableName = "all"


@dataclass(frozen=True)
class Table:
    """A table with its names."""

    name: TableName
    columns: Sequence[str]
    rows: Iterable[Sequence[Any]]


@analytics_export_pages.get("/analytics/export.csv")
def export() -> Any:
    """The tables that the filters select."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(ExportForm)
    period = form.build_period(find_zone(layout.load_workspace(call)["timezone"]), clock.now())
    report = load_report(call.workspace_id, form, period, form.build_before(period))
    tables = [table for table in build_tables(report, period) if form.table in ("all", table.name)]
    name = f"analytics-{form.table}-{period.first_day.isoformat()}-{period.last_day.isoformat()}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return flask.Response("".join(_write(tables)), mimetype="text/csv", headers=headers)


def _write(tables: Sequence[Table]) -> Iterator[str]:
    """One table alone has its header in the first line; several have a title each, and an empty line between them."""
    for number, table in enumerate(tables):
        if len(tables) > 1:
            yield ("\r\n" if number else "") + format_row([TABLES[table.name]])
        yield format_row(table.columns)
        yield from (format_row(row) for row in table.rows)


def build_tables(report: Report, period: Period) -> list[Table]:
    """The tables of the page; a rate is 0 to 1, an empty cell was not measured."""
    numbers = ("executions", *OUTCOMES, "successRate", "p50Ms", "p95Ms")
    return [
        Table("time", ("from", "to", *numbers, "executionsBefore"), _list_times(report, period)),
        Table("top", ("automationId", "name", "type", *numbers, "executionsBefore"), _list_top(report)),
        Table("channels", ("channel", "sent", "sentBefore", *MEASURES), _list_channels(report)),
        Table(
            "experiments",
            ("automation", "step", "variant", "sent", "replied", "rate", "wilsonLow", "wilsonHigh"),
            _list_variants(report),
        ),
        Table("shares", ("by", "value", *numbers), _list_shares(report)),
        Table(
            "actions",
            ("automation", "action", "runs", "failed", "failedShare", "p50Ms", "p95Ms"),
            _list_actions(report),
        ),
    ]


def _list_numbers(row: Any) -> list[Any]:
    counts = [row["outcomes"].get(outcome, 0) for outcome in OUTCOMES]
    return [row["executions"], *counts, row["success_rate"], row["p50_ms"], row["p95_ms"]]


def _list_times(report: Report, period: Period) -> list[list[Any]]:
    before = [point["executions"] for point in report.points_before or []]
    return [
        [bucket.since.astimezone(period.zone).isoformat(), bucket.until.astimezone(period.zone).isoformat(),
         *_list_numbers(point), before[number] if number < len(before) else None]
        for number, (bucket, point) in enumerate(zip(period.list_buckets(), report.points, strict=True))
    ]  # fmt: skip


def _list_top(report: Report) -> list[list[Any]]:
    return [
        [row["id"], row["name"], labels.TYPES[row["type"]], *_list_numbers(row), row["before"]]
        for row, _ in report.ranked
    ]


def _list_channels(report: Report) -> list[list[Any]]:
    return [
        [labels.CHANNELS.get(row["channel"], row["channel"]), row["sent"], row["before"], row["delivered"],
         row["opened"], row["clicked"], row["replied"], row["unsubscribed"]]
        for row in report.messages or []
    ]  # fmt: skip


def _list_variants(report: Report) -> list[list[Any]]:
    return [
        [row["automation_name"], row["step_id"], variant["name"], variant["sent"], variant["replied"], variant["rate"],
         variant["low"], variant["high"]]
        for row in report.experiments or []
        for variant in row["variants"]
    ]  # fmt: skip


def _list_shares(report: Report) -> list[list[Any]]:
    shares: list[tuple[str, list[BreakdownRow] | None, Any]] = [
        ("device", report.devices, name_device), ("page", report.pages, name_page),
        ("trigger", report.triggers, name_trigger),
    ]  # fmt: skip
    return [[by, name(row["value"]), *_list_numbers(row)] for by, rows, name in shares for row in rows or []]


def _list_actions(report: Report) -> list[list[Any]]:
    return [
        [row["automation_name"], name_action(row["action"]), row["runs"], row["failed"], row["failed_share"],
         row["p50_ms"], row["p95_ms"]]
        for row in report.actions or []
    ]  # fmt: skip
