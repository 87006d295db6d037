"""What the page of analytics shows of one period: read once, all parts from the same moment.

Each part is one or two reads of rollups, however many executions there are. The result of a slow workspace is reused
for some seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import clock
from dashboard.pages.analytics_form import AnalyticsForm, cut_to_elapsed
from dashboard.pages.analytics_lists import Lists
from dashboard.pages.analytics_period import Period
from models.recent_reads import SlowReads
from models.reports import (
    analytics_causes,
    analytics_executions,
    analytics_experiments,
    analytics_messages,
    analytics_steps,
)
from models.reports.analytics_causes import FailureCause, VersionCause
from models.reports.analytics_executions import BreakdownRow, Point, TopRow
from models.reports.analytics_experiments import Experiment
from models.reports.analytics_filters import DIMENSIONS, AnalyticsFilters, Dimension, Kind
from models.reports.analytics_messages import ChannelRow
from models.reports.analytics_reader import Numbers
from models.reports.analytics_steps import ActionRow, Funnel

#: Rows of the rankings and shares.
MAX_RANKED, MAX_SHARES, MAX_ACTIONS = 7, 6, 5
#: Playbooks whose executions are told apart from those of automations.
MAX_TRACKED = 10_000

_REPORTS: SlowReads[Report] = SlowReads()


@dataclass(frozen=True)
class Report:
    """The numbers of a period, and of the earlier one: in `before` as much of it as has passed of the current one."""

    read_at: datetime
    filters: AnalyticsFilters
    totals: Numbers
    before: Numbers | None
    points: list[Point]
    points_before: list[Point] | None
    compared: AnalyticsFilters | None
    lists: Lists
    ranked: list[tuple[TopRow, Kind]]
    funnel_id: str | None
    funnel: Funnel | None
    messages: list[ChannelRow] | None
    messages_before: list[ChannelRow] | None
    experiments: list[Experiment] | None
    devices: list[BreakdownRow] | None
    pages: list[BreakdownRow] | None
    triggers: list[BreakdownRow] | None
    actions: list[ActionRow] | None
    failures: list[FailureCause]
    versions: list[VersionCause]

    def build_row_path(self, kind: Kind, automation_id: str, period: Period) -> str:
        """The list behind a row of the ranking."""
        return Lists(self.filters, kind).build_path(None, period.since, period.until, automation_id)

    def build_share_path(self, dimension: Dimension, value: str | None) -> str:
        """The list behind a value of a breakdown. Devices and pages are those of playbooks."""
        kind = self.lists.kind if dimension == "trigger" else "playbooks"
        if not value or (dimension == "trigger" and kind != "playbooks"):
            return ""
        device, page, trigger = (value if name == dimension else None for name in DIMENSIONS)
        filters = replace(self.filters, device=device, page=page, trigger=trigger)
        return Lists(filters, kind).build_path(None, filters.since, filters.until)


def load_report(workspace_id: str, form: AnalyticsForm, period: Period, before: Period | None) -> Report:
    """Read the report, or reuse a slow one."""
    key = (workspace_id, form, period.since, period.until, before and before.since)
    return _REPORTS.get(key, lambda: _read(workspace_id, form, period, before))


def _read(workspace_id: str, form: AnalyticsForm, period: Period, before: Period | None) -> Report:
    now, filters = clock.now(), form.build_filters(period)
    earlier = replace(filters, since=before.since, until=before.until) if before else None
    cut = cut_to_elapsed(before, period, now) if before else None
    compared = replace(filters, since=cut.since, until=cut.until) if cut else None
    totals = analytics_executions.fetch_totals(workspace_id, filters)
    tracked = _count_tracked(workspace_id, filters)
    top = analytics_executions.fetch_top(workspace_id, filters, compared, MAX_RANKED)
    ranked = [(row, _find_kind(row["executions"], tracked.get(row["id"], 0))) for row in top]
    funnel_id = form.funnel or form.automation_id or next((row["id"] for row, _ in ranked), None)
    playbooks = replace(filters, kind="playbooks" if filters.kind == "everything" else filters.kind)
    fetch_breakdown = analytics_executions.fetch_breakdown
    return Report(
        read_at=now,
        filters=filters,
        totals=totals,
        before=analytics_executions.fetch_totals(workspace_id, compared) if compared else None,
        points=analytics_executions.fetch_timeline(workspace_id, filters, period.unit),
        points_before=analytics_executions.fetch_timeline(workspace_id, earlier, period.unit) if earlier else None,
        compared=compared,
        lists=Lists(filters, _find_kind(totals["executions"], sum(tracked.values()))),
        ranked=ranked,
        funnel_id=funnel_id,
        funnel=analytics_steps.fetch_funnel(workspace_id, funnel_id, filters) if funnel_id else None,
        messages=analytics_messages.fetch_messages(workspace_id, filters, compared),
        messages_before=analytics_messages.fetch_messages(workspace_id, compared) if compared else None,
        experiments=analytics_experiments.fetch_experiments(workspace_id, filters, now),
        devices=_keep_playbooks(fetch_breakdown(workspace_id, playbooks, "device", limit=MAX_SHARES), playbooks),
        pages=_keep_playbooks(fetch_breakdown(workspace_id, playbooks, "page", limit=MAX_SHARES), playbooks),
        triggers=fetch_breakdown(workspace_id, filters, "trigger", limit=MAX_SHARES),
        actions=analytics_steps.fetch_actions(workspace_id, filters, "slowest", MAX_ACTIONS),
        failures=analytics_causes.list_failure_causes(workspace_id, filters, period.unit),
        versions=analytics_causes.list_version_causes(workspace_id, filters),
    )


def _keep_playbooks(rows: list[BreakdownRow] | None, filters: AnalyticsFilters) -> list[BreakdownRow] | None:
    """Executions of automations have no device and no page."""
    return rows if filters.kind == "playbooks" else None


def _count_tracked(workspace_id: str, filters: AnalyticsFilters) -> dict[str, int]:
    """How many of the executions are of visitors' browsers, by automation."""
    if filters.kind == "automations":
        return {}
    playbooks = replace(filters, kind="playbooks")
    rows = analytics_executions.fetch_top(workspace_id, playbooks, limit=MAX_TRACKED)
    return {row["id"]: row["executions"] for row in rows}


def _find_kind(executions: int, tracked: int) -> Kind:
    """Which executions a number counts: a list shows one kind only."""
    if not tracked:
        return "automations"
    return "playbooks" if tracked == executions else "everything"


def sum_messages(rows: list[ChannelRow] | None) -> dict[str, Any]:
    """All channels together: `sent`, and the rate `replied` of the messages whose channel tells of replies.

    None where messages are not counted with the filters.
    """
    if rows is None:
        return {"sent": None, "replied": None}
    measured = [row for row in rows if row["replied"] is not None]
    delivered = sum(row["sent"] if row["delivered"] is None else row["delivered"] for row in measured)
    replied = sum(row["replied"] or 0 for row in measured)
    return {"sent": sum(row["sent"] for row in rows), "replied": replied / delivered if delivered else None}
