"""Analytics: executions over time and by status, times, rankings, a funnel, messages by channel, and experiments.

All state is in the URL; a form or link changes it with and without scripts. The charts are drawn from tables.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import flask

import clock
from dashboard.access import Caller
from dashboard.pages import layout
from dashboard.pages.analytics_cards import build_cards
from dashboard.pages.analytics_cause_labels import build_causes
from dashboard.pages.analytics_charts import build_status_chart, build_time_chart
from dashboard.pages.analytics_experiments import build_experiments
from dashboard.pages.analytics_exports import list_exports
from dashboard.pages.analytics_form import (
    DEVICES,
    SHOWS,
    UNITS,
    AnalyticsForm,
    Link,
    build_path,
    describe_compares,
    describe_filters,
)
from dashboard.pages.analytics_period import Period
from dashboard.pages.analytics_report import Report, load_report
from dashboard.pages.analytics_rows import (
    MEASURE_LABELS,
    ShareRow,
    break_down,
    build_funnel,
    describe_replies,
    list_channels,
    list_slowest,
    name_device,
    name_page,
    name_trigger,
    rank,
)
from models import workspace_preferences
from models.checks.execution_retention import KEEP_DAYS
from models.reports import automations
from models.reports.analytics_executions import BreakdownRow
from models.reports.analytics_filters import DIMENSIONS, Dimension
from rules.schedule import find_zone
from rules.tallies import OTHER

analytics_pages = flask.Blueprint("analytics-pages", __name__)

#: Automations in the filter.
MAX_AUTOMATIONS = 200


@analytics_pages.get("/analytics")
@analytics_pages.get("/automations/analytics")
def show() -> Any:
    """The page of the workspace, or the tab beside its automations."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(AnalyticsForm)
    period = form.build_period(find_zone(layout.load_workspace(call)["timezone"]), clock.now())
    keep_days = workspace_preferences.load_cached(call.workspace_id).keep_days or KEEP_DAYS
    kept_since = clock.now() - timedelta(days=keep_days + 1)
    earlier = form.build_before(period)
    # A period of which only a part is kept would compare with less than it had.
    before = earlier if earlier and earlier.since >= kept_since else None
    report = load_report(call.workspace_id, form, period, before)
    template = "analytics_page.html" if layout.is_fragment() else "analytics.html"
    context = {
        **_describe_form(call, form, period),
        "compare_from": earlier and earlier.first_day,
        "is_before_gone": earlier is not before,
        "is_partly_kept": period.since < kept_since,
        "keep_days": keep_days,
        **_describe_executions(form, period, before, report),
        **_describe_rest(form, period, report),
    }
    response = layout.render(template, call, **context)
    if layout.is_fragment() and flask.request.full_path.rstrip("?") != context["here"]:
        # A form sends every field; the address has those alone that differ from the default.
        response.headers["HX-Push-Url"] = context["here"]
    return response


def _describe_form(call: Caller, form: AnalyticsForm, period: Period) -> dict[str, Any]:
    base_path, fields = flask.request.path, form.list_fields()
    names = {row["id"]: row["name"] for row in automations.fetch_page(call.workspace_id, limit=MAX_AUTOMATIONS)}
    selects = ("range", "from", "to", "compare", "compareFrom", "automationId", "channel", "device", "status")
    return {
        "form": form,
        "base_path": base_path,
        "here": build_path(base_path, fields),
        "in_tab": base_path.startswith("/automations"),
        "period": period,
        "compares": describe_compares(form, period),
        **describe_filters(form, names),
        "shows": [
            Link(build_path(base_path, fields, show=None if name == "everything" else name), text, form.show == name)
            for name, text in SHOWS.items()
        ],
        "units": [
            Link(build_path(base_path, fields, by=None if name == "day" else name), text, period.unit == name)
            for name, text in UNITS.items()
            if form.can_be_by(name, period)
        ],
        "kept": {name: value for name, value in fields.items() if name not in selects},
        "funnel_kept": {name: value for name, value in fields.items() if name != "funnel"},
        "funnel_options": names,
        "chips": [
            Link(build_path(base_path, fields, **{name: None}), f"{label} {fields[name]}", is_current=True)
            for name, label in (("page", "page"), ("trigger", "trigger"))
            if name in fields
        ],
        "has_filters": any(
            name in fields for name in ("automationId", "channel", "device", "status", "page", "trigger")
        ),
    }


def _describe_executions(form: AnalyticsForm, period: Period, before: Period | None, report: Report) -> dict[str, Any]:
    causes = build_causes(
        period.list_buckets(), report.points, report.failures, report.versions, report.filters.automation_id
    )
    label = "" if before is None else _name_before(form, before)
    return {
        "updated_at": report.read_at,
        "exports": list_exports(report, period.unit),
        "cards": build_cards(report, period),
        "is_empty": not report.totals["executions"],
        "status_chart": build_status_chart(
            period,
            report.points,
            report.points_before,
            report.totals,
            report.filters,
            label,
            report.lists.build_path,
            causes,
        ),
        "time_chart": build_time_chart(period, report.points, report.totals),
    }


def _name_before(form: AnalyticsForm, before: Period) -> str:
    if form.compare == "custom":
        return before.describe()
    return "24 hours before" if form.range == "24h" else f"{before.days} days before"


def _describe_rest(form: AnalyticsForm, period: Period, report: Report) -> dict[str, Any]:
    base_path, fields, bounds = flask.request.path, form.list_fields(), (period.since, period.until)
    return {
        "ranked": rank(
            [(row, report.build_row_path(kind, row["id"], period)) for row, kind in report.ranked],
            report.filters.status,
        ),
        "funnel_id": report.funnel_id,
        "funnel": build_funnel(
            report.funnel,
            report.lists.build_path(None, *bounds, automation_id=report.funnel_id) if not form.status else "",
        ),
        "replies": describe_replies(report.funnel),
        "messages": list_channels(report.messages),
        "message_columns": ["Sent", *MEASURE_LABELS.values()],
        "experiments": build_experiments(report.experiments, ZoneInfo(period.zone.key)),
        **_describe_shares(base_path, fields, report),
        "is_by_execution": report.filters.is_by_execution,
        "slowest": list_slowest(report.actions),
    }  # fmt: skip


def _describe_shares(base_path: str, fields: dict[str, str], report: Report) -> dict[str, list[ShareRow]]:
    shares: tuple[tuple[Dimension, list[BreakdownRow] | None, Callable[[str | None], str]], ...] = (
        ("device", report.devices, name_device),
        ("page", report.pages, name_page),
        ("trigger", report.triggers, name_trigger),
    )
    return {
        f"{name}_rows": break_down(
            rows,
            name_value,
            partial(report.build_share_path, name),
            partial(_build_filter_path, base_path, fields, name),
            report.filters.status,
        )
        for name, rows, name_value in shares
    }


def _build_filter_path(base_path: str, fields: dict[str, str], name: Dimension, value: str | None) -> str:
    """The page filtered by a value instead of by another one of device, page and trigger; empty where it cannot be."""
    is_possible = value and value != OTHER and (name != "device" or value in DEVICES)
    return build_path(base_path, fields, **{**dict.fromkeys(DIMENSIONS), name: value}) if is_possible else ""
