"""Analytics: executions over time and by status, times, rankings, a funnel, messages by channel, and experiments.

All state is in the URL; a form or link changes it with and without scripts. The charts are drawn from tables.
"""

from __future__ import annotations

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
from dashboard.pages.analytics_export import TABLES
from dashboard.pages.analytics_form import (
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
from models.reports import automations
from rules.schedule import find_zone

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
    before = form.build_before(period)
    report = load_report(call.workspace_id, form, period, before)
    template = "analytics_page.html" if layout.is_fragment() else "analytics.html"
    context = {
        **_describe_form(call, form, period, before),
        **_describe_executions(form, period, before, report),
        **_describe_rest(form, period, report),
    }
    response = layout.render(template, call, **context)
    if layout.is_fragment() and flask.request.full_path.rstrip("?") != context["here"]:
        # A form sends every field; the address has those alone that differ from the default.
        response.headers["HX-Push-Url"] = context["here"]
    return response


def _describe_form(call: Caller, form: AnalyticsForm, period: Period, before: Period | None) -> dict[str, Any]:
    base_path, fields = flask.request.path, form.list_fields()
    names = {row["id"]: row["name"] for row in automations.fetch_page(call.workspace_id, limit=MAX_AUTOMATIONS)}
    selects = ("range", "from", "to", "compare", "compareFrom", "automationId", "channel", "device", "status")
    return {
        "form": form,
        "base_path": base_path,
        "here": build_path(base_path, fields),
        "in_tab": base_path.startswith("/automations"),
        "period": period,
        "before": before,
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
        "exports": [
            Link(build_path("/analytics/export.csv", fields, table=None if name == "all" else name), text, False)
            for name, text in TABLES.items()
        ],
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
        "cards": build_cards(report, period),
        "is_empty": not report.totals["executions"],
        "status_chart": build_status_chart(
            period, report.points, report.points_before, report.totals, label, report.lists.build_path, causes
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
            [(row, report.build_row_path(kind, row["id"], period)) for row, kind in report.ranked]
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
        "device_rows": break_down(
            report.devices, name_device, lambda _: "",
            lambda value: build_path(base_path, fields, device=value, page=None, trigger=None) if value else "",
        ),
        "page_rows": break_down(
            report.pages, name_page, lambda _: "",
            lambda value: build_path(base_path, fields, page=value, device=None, trigger=None) if value else "",
        ),
        "trigger_rows": break_down(
            report.triggers, name_trigger, lambda _: "",
            lambda value: build_path(base_path, fields, trigger=value, device=None, page=None) if value else "",
        ),
        "slowest": list_slowest(report.actions),
    }  # fmt: skip
