"""The summary of a period, as the API answers it: numbers, days and stages. Finished executions come from the tallies,
those in flight from their small index."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

from peewee import SQL, fn

from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.queries import fetch
from models.reports.analytics_executions import Point, fetch_timeline, fetch_totals
from models.reports.analytics_filters import AnalyticsFilters
from models.reports.analytics_reader import Numbers
from models.tables import Execution
from rules.stages import Stage
from rules.tallies import Outcome

#: The stages at which executions rest, by their outcome.
_RESTING_STAGES: dict[Outcome, Stage] = {
    "succeeded": "completed", "failed": "failed", "unknown": "failed", "skipped": "skipped", "cancelled": "skipped",
}  # fmt: skip


class StageRow(TypedDict):
    """How many executions of automations are in a stage."""

    stage: Stage
    count: int


class Summary(TypedDict):
    """The numbers of a period, its days in the workspace's zone, and the stages of automations' executions."""

    totals: Numbers
    days: list[Point]
    stages: list[StageRow]


def fetch_summary(workspace_id: str, filters: AnalyticsFilters) -> Summary:
    """Return the summary of a period. Raises `NotCountedTogether`."""
    return {
        "totals": fetch_totals(workspace_id, filters),
        "days": fetch_timeline(workspace_id, filters, "day"),
        "stages": _fetch_stages(workspace_id, filters),
    }


def _fetch_stages(workspace_id: str, filters: AnalyticsFilters) -> list[StageRow]:
    outcomes = fetch_totals(workspace_id, replace(filters, kind="automations"))["outcomes"]
    counts: dict[Stage, int] = {}
    for outcome, stage in _RESTING_STAGES.items():
        counts[stage] = counts.get(stage, 0) + outcomes.get(outcome, 0)
    if outcomes.get("active"):
        counts |= _count_active(workspace_id, filters)
    return [{"stage": stage, "count": count} for stage, count in sorted(counts.items()) if count]


def _count_active(workspace_id: str, filters: AnalyticsFilters) -> dict[Stage, int]:
    since, until = filters.find_bounds()
    active = ExecutionFilters(automation_id=filters.automation_id, in_flight=True, test=False)
    query = Execution.select(Execution.stage, fn.count(SQL("*")).alias("count"))
    with acting_as(workspace_id):
        condition = active.build_condition() & (Execution.created_at >= since) & (Execution.created_at < until)
        rows = fetch(StageRow, query.where(condition).group_by(Execution.stage))
    return {row["stage"]: row["count"] for row in rows}
