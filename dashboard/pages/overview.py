"""The first page: whether Beckon sends, is late, is broken, who is stuck, and what changed.

The page reads what happened in one window (an hour, a day, a week) and refreshes itself; a link stops the refreshes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

import flask

import clock
from dashboard.access import Caller, current_settings
from dashboard.bodies import Body
from dashboard.pages import changes, counts, labels, layout, overview_answers
from dashboard.pages.changes import CHANGES, Change
from dashboard.pages.overview_chart import WINDOWS, Chart, Series, Window, build_chart, find_start, list_intervals
from models import deployment, lateness
from models.execution_filters import ExecutionFilters
from models.lateness import Lateness
from models.pause import OPERATORS_REASONS
from models.reports import automations
from models.reports import overview as report
from models.reports.counts import COUNTS
from models.reports.sent import Sent, fetch_sent
from models.reports.summary import count_sent_since
from rules.tallies import compute_success_rate
from tasks.health.measurement import Health, measure_recent

overview_pages = flask.Blueprint("overview-pages", __name__)

#: Widths of the chart in SVG units, about the pixels that it has: its text keeps its size.
WIDTHS = {"wide": 810, "narrow": 340}
MAX_STUCK, MAX_RETRIES, MAX_BUSIEST, MAX_CHANGES, MAX_PLAYBOOKS = 5, 4, 5, 6, 5
CHANGES_PERIOD = timedelta(days=7)


class OverviewForm(Body):
    """The window, and whether the page refreshes itself."""

    window: Literal["hour", "day", "week"] = "day"
    updates: Literal["paused"] | None = None


@overview_pages.get("/")
def redirect_to_overview() -> Any:
    """Redirect to the first page."""
    return flask.redirect("/overview")


@overview_pages.get("/overview")
def show() -> Any:
    """The page, or the part of it that refreshes."""
    call = layout.require_page_permission()
    form, _ = layout.parse_query(OverviewForm)
    return layout.render(
        "overview_live.html" if layout.is_fragment() else "overview.html",
        call,
        form=form,
        windows=WINDOWS.values(),
        window=WINDOWS[form.window],
        **_load(call, WINDOWS[form.window]),
    )


def _load(call: Caller, window: Window) -> dict[str, Any]:
    now = clock.now()
    since, bar = find_start(window, now), layout.load_summary(call)
    health = measure_recent(current_settings(), call.workspace_id, deployment_owner=call.deployment_owner)
    sent = fetch_sent(call.workspace_id, since, window.step, MAX_BUSIEST)
    failed = {row["at"]: row["count"] for row in report.list_failed(call.workspace_id, since, window.step)}
    late = lateness.fetch_lateness(call.workspace_id)
    recent = _load_changes(call, bar, now)
    held = sum(pause["waiting"] for pause in bar["pauses"] if pause["kind"] == "provider")
    samples = lateness.list_samples(call.workspace_id, since)
    late_now = max(late["due_seconds"], late["held_seconds"])
    series = Series(
        since, now, sent.by_interval, failed, held, samples, late_now, recent, _find_outage(call, bar, since)
    )
    return {
        "charts": _build_charts(call, window, series),
        "sent": sent,
        "failed": sum(failed.values()),
        "held": held,
        "answers": _build_answers(call, bar, sent, late, recent, now - since, health),
        "problems": health.problems,
        "urgent": health.urgent,
        "changes": recent[:MAX_CHANGES],
        "audit_path": "/audit" if "admin" in call.permissions else None,
        "rows": _build_table(window, series),
        "sent_path": _build_sent_path(since),
        "failed_path": _build_failed_path(since),
        "busiest": _load_busiest(call, window, sent, since, now),
        "playbooks": automations.list_recent_playbooks(call.workspace_id, MAX_PLAYBOOKS),
        "format_time": lambda moment: overview_answers.format_time(moment, layout.load_zone(call), now),
        **_load_lists(call),
    }


def _load_changes(call: Caller, bar: dict[str, Any], now: datetime) -> list[Change]:
    since = now - CHANGES_PERIOD
    rows = report.list_changes(call.workspace_id, list(CHANGES), since, 60)
    ids = {row["object_id"] for row in rows if row["object_kind"] == "automation"}
    names = report.list_automation_names(call.workspace_id, sorted(ids))
    deployments = deployment.list_since(since, 20)
    return changes.build_changes(
        rows, deployments, {key: row["name"] for key, row in names.items()}, bar["pauses"]
    )  # fmt: skip


def _find_outage(call: Caller, bar: dict[str, Any], since: datetime) -> tuple[datetime, str] | None:
    """The newest provider that stopped in the window and has not returned."""
    stopped = [row for row in bar["pauses"] if row["reason"] not in OPERATORS_REASONS and row["created_at"] >= since]
    if not stopped:
        return None
    row = max(stopped, key=lambda pause: pause["created_at"])
    local = row["created_at"].astimezone(layout.load_zone(call))
    return row["created_at"], f"{labels.PROVIDERS.get(row['name'], row['name'])}, since {local:%H:%M}"


def _build_charts(call: Caller, window: Window, series: Series) -> dict[str, Chart]:
    zone = layout.load_zone(call)
    return {name: build_chart(window, series, zone, width) for name, width in WIDTHS.items()}


def _build_answers(
    call: Caller,
    bar: dict[str, Any],
    sent: Sent,
    late: Lateness,
    recent: list[Change],
    length: timedelta,
    health: Health,
) -> dict[str, Any]:
    last_minutes = count_sent_since(call.workspace_id, clock.now() - timedelta(minutes=10))
    usual = sent.total / max(1.0, length.total_seconds() / 60)
    now, zone = clock.now(), layout.load_zone(call)
    return {
        "sending": overview_answers.describe_sending(bar, last_minutes, usual, late, counts.build_path("sent_today")),
        "late": overview_answers.describe_lateness(bar, late),
        "broken": overview_answers.describe_broken(health, now),
        "stuck": overview_answers.describe_stuck(report.count_stuck(call.workspace_id), bar),
        "change": overview_answers.describe_last_change(recent, zone, now),
    }


def _load_lists(call: Caller) -> dict[str, Any]:
    retries = report.list_next_retries(call.workspace_id, MAX_RETRIES)
    look_ups = report.list_next_look_ups(call.workspace_id)
    groups = sorted([*retries, *look_ups], key=lambda group: group["at"])
    return {
        "stuck": report.list_stuck(call.workspace_id, MAX_STUCK),
        "stuck_total": report.count_filtered(call.workspace_id, COUNTS["stuck"].filters),
        "describe_stuck": overview_answers.describe_stuck_row,
        "next_groups": groups[:MAX_RETRIES],
    }


def _load_busiest(call: Caller, window: Window, sent: Sent, since: datetime, now: datetime) -> list[dict[str, Any]]:
    ids = list(sent.by_automation)
    names = report.list_automation_names(call.workspace_id, ids)
    failed = report.count_failed_by_automation(call.workspace_id, since, ids)
    starts = list_intervals(window, since, now)
    return [
        {
            **names[key],
            "sent": count,
            "sent_path": _build_sent_path(since, automation_id=key),
            "rate": compute_success_rate(count, failed.get(key, 0)),
            "failed": failed.get(key, 0),
            "failed_path": _build_failed_path(since, automation_id=key),
            "line": _build_spark([sent.by_automation_and_interval[key].get(start, 0) for start in starts]),
        }
        for key, count in sent.by_automation.items()
        if key in names
    ]


def _build_spark(values: list[int]) -> str:
    """The points of a line in a box of 100 by 20."""
    most, step = max([1, *values]), 100 / max(1, len(values) - 1)
    return " ".join(f"{index * step:.1f},{19 - 18 * value / most:.1f}" for index, value in enumerate(values))


def _build_table(window: Window, series: Series) -> list[dict[str, Any]]:
    """The intervals in which something was sent, failed or late, newest first."""
    late: dict[datetime, int] = {}
    for row in series.samples:
        start = series.since + (row["at"] - series.since) // window.step * window.step
        late[start] = max(late.get(start, 0), row["oldest_seconds"])
    rows = []
    for start in reversed(list_intervals(window, series.since, series.now)):
        sent, failed, end = series.sent.get(start, 0), series.failed.get(start, 0), start + window.step
        if sent or failed or late.get(start):
            rows.append(
                {
                    "at": start, "sent": sent, "failed": failed, "late": late.get(start, 0),
                    "sent_path": _build_sent_path(start, end), "failed_path": _build_failed_path(start, end),
                }
            )  # fmt: skip
    return rows


def _build_sent_path(since: datetime, until: datetime | None = None, automation_id: str | None = None) -> str:
    filters = ExecutionFilters(test=False, sent_since=since, sent_until=until, automation_id=automation_id)
    return counts.build_list_path(filters)


def _build_failed_path(since: datetime, until: datetime | None = None, automation_id: str | None = None) -> str:
    filters = replace(
        COUNTS["failed"].filters, finished_since=since, finished_until=until, automation_id=automation_id
    )  # fmt: skip
    return counts.build_list_path(filters)
