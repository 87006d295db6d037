"""Analytics as CSV: one report a file, with the filters of the other calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import flask

import clock
from dashboard.access import Caller
from dashboard.analytics_filters import AnalyticsQuery
from dashboard.api.analytics import require_automation
from dashboard.errors import invalid_request
from dashboard.resource import Resource
from models import workspace
from models.reports.analytics_executions import fetch_breakdown, fetch_timeline, fetch_top
from models.reports.analytics_experiments import fetch_experiments
from models.reports.analytics_filters import AnalyticsFilters, Interval
from models.reports.analytics_messages import MEASURES, fetch_messages
from models.reports.analytics_steps import fetch_actions, fetch_funnel
from rules.csv_cells import format_row
from rules.problems import Problem
from rules.tallies import OUTCOMES

analytics_export = Resource("analytics-export")

Report = Literal[
    "timeline", "device", "page", "trigger", "status", "top", "funnel", "actions", "messages", "experiments"
]  # fmt: skip
#: Rows of a file.
MAX_ROWS = 5_000

_NUMBERS = ("executions", *OUTCOMES, "success_rate", "p50_ms", "p95_ms")
_BREAKDOWN = ("value", *_NUMBERS, "share", "before", "change")
#: The columns of each report.
COLUMNS: dict[Report, tuple[str, ...]] = {
    "timeline": ("at", *_NUMBERS),
    "device": _BREAKDOWN,
    "page": _BREAKDOWN,
    "trigger": _BREAKDOWN,
    "status": _BREAKDOWN,
    "top": ("id", "name", "type", *_NUMBERS, "before", "change"),
    "funnel": ("step_id", "action", "arm", "entered", "succeeded", "skipped", "failed", "waiting", "share"),
    "actions": ("automation_id", "automation_name", "action", "runs", "failed", "failed_share", "p50_ms", "p95_ms"),
    "messages": ("channel", "sent", *MEASURES, "before", "change"),
    "experiments": (
        "automation_id", "automation_name", "step_id", "name", "weight", "sent", "delivered", "replied", "clicked",
        "failed", "answerable", "rate", "low", "high",
    ),
}  # fmt: skip


class ExportQuery(AnalyticsQuery):
    """The filters, the report, and the interval of a timeline."""

    report: Report = "timeline"
    by: Interval = "day"


@analytics_export.api(
    "GET",
    "/api/analytics/export",
    permission="read",
    query=ExportQuery,
    response={},
    statuses=(404,),
    media_type="text/csv",
)
def export_analytics(call: Caller, query: ExportQuery) -> Any:
    """Download a report of Analytics as CSV."""
    row = workspace.get(call.workspace_id)
    filters = query.build_filters(row["timezone"] if row else "UTC", clock.now())
    rows = _read(call, query, filters, query.build_compared(filters))
    if rows is None:
        raise invalid_request([Problem("report", "is not measured with these filters")])
    columns = COLUMNS[query.report]
    lines = [format_row(columns), *(format_row(_build_cells(row, columns)) for row in rows)]
    name = f"analytics-{query.report}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return flask.Response("".join(lines), mimetype="text/csv", headers=headers)


def _read(
    call: Caller, query: ExportQuery, filters: AnalyticsFilters, compared: AnalyticsFilters | None
) -> Iterable[Mapping[str, Any]] | None:
    workspace_id = call.workspace_id
    if query.report in ("device", "page", "trigger", "status"):
        return fetch_breakdown(workspace_id, filters, query.report, compared, limit=MAX_ROWS)
    reports: dict[str, Callable[[], Iterable[Mapping[str, Any]] | None]] = {
        "timeline": lambda: fetch_timeline(workspace_id, filters, query.by),
        "top": lambda: fetch_top(workspace_id, filters, compared, limit=MAX_ROWS),
        "funnel": lambda: _read_funnel(call, query, filters),
        "actions": lambda: fetch_actions(workspace_id, filters, limit=MAX_ROWS),
        "messages": lambda: fetch_messages(workspace_id, filters, compared),
        "experiments": lambda: _read_experiments(workspace_id, filters),
    }
    return reports[query.report]()


def _read_funnel(call: Caller, query: ExportQuery, filters: AnalyticsFilters) -> Iterable[Mapping[str, Any]] | None:
    funnel = fetch_funnel(call.workspace_id, require_automation(call, query), filters)
    return funnel and funnel["steps"]


def _read_experiments(workspace_id: str, filters: AnalyticsFilters) -> list[Mapping[str, Any]] | None:
    experiments = fetch_experiments(workspace_id, filters, clock.now())
    if experiments is None:
        return None
    return [{**experiment, **variant} for experiment in experiments for variant in experiment["variants"]]


def _build_cells(row: Mapping[str, Any], columns: Iterable[str]) -> list[object]:
    values = {**row, **row.get("outcomes", {})}
    cells = [values.get(name, 0 if name in OUTCOMES else None) for name in columns]
    return [cell.isoformat() if isinstance(cell, datetime) else cell for cell in cells]
