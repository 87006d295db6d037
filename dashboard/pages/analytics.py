"""Analytics: executions by day and outcome, success rate, durations, and the automations with the most executions."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

import flask

import clock
from dashboard.bodies import Body
from dashboard.pages import layout
from dashboard.pages.counts import build_list_path, build_path
from dashboard.pages.day_chart import draw_days
from models.execution_filters import ExecutionFilters
from models.reports import analytics as report
from models.reports.analytics import DayRow

analytics_pages = flask.Blueprint("analytics-pages", __name__)

#: The periods, in days, today included.
PERIODS = {"7": "Last 7 days", "30": "Last 30 days", "90": "Last 90 days"}
#: Automations in the ranking.
MAX_AUTOMATIONS = 10


class AnalyticsQuery(Body):
    """The period."""

    days: Literal["7", "30", "90"] = "30"


@analytics_pages.get("/analytics")
@analytics_pages.get("/automations/analytics")
def show() -> Any:
    """The page of the workspace, or the tab beside its automations."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(AnalyticsQuery)
    today = clock.now().astimezone(UTC).date()
    first = today - timedelta(days=int(form.days) - 1)
    since = datetime.combine(first, time.min, UTC)
    statistics = report.fetch_summary(call.workspace_id, None, since, None)
    days = fill_days(statistics["by_day"], first, today)
    top = report.fetch_top(call.workspace_id, MAX_AUTOMATIONS)
    ranked = sorted((*top["automations"], *top["playbooks"]), key=lambda row: -row["executions"])
    return layout.render(
        "analytics.html",
        call,
        statistics=statistics,
        days=days,
        chart=draw_days(days),
        ranked=[row for row in ranked if row["executions"]][:MAX_AUTOMATIONS],
        periods=PERIODS,
        period=form.days,
        page=flask.request.path,
        list_path=lambda status=None: build_list_path(ExecutionFilters(status=status, since=since, test=False)),
        day_path=build_day_path,
        count_path_of=build_path,
    )


def fill_days(rows: list[DayRow], first: date, last: date) -> list[DayRow]:
    """One row for each day from the first to the last; a day without executions has zeros."""
    by_day = {row["day"]: row for row in rows}
    names = [(first + timedelta(days=index)).isoformat() for index in range((last - first).days + 1)]
    return [
        by_day.get(name) or {"day": name, "executions": 0, "succeeded": 0, "failed": 0, "skipped": 0} for name in names
    ]


def build_day_path(day: str, status: str | None = None) -> str:
    """The list of a day's executions, of all statuses or of one."""
    since = datetime.combine(date.fromisoformat(day), time.min, UTC)
    return build_list_path(ExecutionFilters(status=status, since=since, until=since + timedelta(days=1), test=False))
