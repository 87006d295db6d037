"""Executions in numbers: in all, over time, by device, page, trigger and status, and the busiest automations.

Tests are in no number. Executions of automations count at the time they were accepted, tracked ones of playbooks at the
time they ran. Deleted automations keep their numbers.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from models.database import acting_as
from models.expressions import is_any
from models.queries import fetch
from models.reports.analytics_filters import AnalyticsFilters, Dimension, Interval
from models.reports.analytics_reader import (
    Counted,
    CountRow,
    Numbers,
    build_numbers,
    group_rows,
    read_counts,
)
from models.reports.overview import list_automation_names
from models.tables import Automation
from rules.language import AutomationType
from rules.tallies import FAILURES, compute_change

#: Values of a breakdown, most executions first.
MAX_VALUES = 20
#: Automations that are ranked before the two kinds are separated.
MAX_RANKED = 1_000


class Point(Numbers):
    """The executions of the interval that begins at `at`: of an hour, or of a day of the workspace's zone."""

    at: datetime


class BreakdownRow(Numbers):
    """The executions with one value; None is those without any, "other" all beyond the first hundred of a day.

    `share` is 0 to 1 of the executions in the breakdown. `before` counts the compared period, and `change` is relative
    to it (0.14 is 14 % more); both are None without a compared period, `change` also where nothing was before.
    """

    value: str | None
    share: float
    before: int | None
    change: float | None


class TopRow(Numbers):
    """An automation or playbook with its executions in the period. `before` and `change` are as in `BreakdownRow`."""

    id: str
    name: str
    type: AutomationType
    before: int | None
    change: float | None


def fetch_totals(workspace_id: str, filters: AnalyticsFilters) -> Numbers:
    """Return the executions of the period in numbers. Raises `NotCountedTogether`."""
    return build_numbers(read_counts(workspace_id, filters, _choose(filters)))


def fetch_timeline(workspace_id: str, filters: AnalyticsFilters, by: Interval) -> list[Point]:
    """Return the executions of every interval of the period, empty ones too. Raises `NotCountedTogether`."""
    rows = group_rows(read_counts(workspace_id, filters, _choose(filters), by=by), lambda row: row["point"])
    return [{"at": at, **build_numbers(rows.get(number, []))} for number, at in enumerate(filters.list_edges(by))]


def fetch_breakdown(
    workspace_id: str,
    filters: AnalyticsFilters,
    dimension: Dimension | Literal["status"],
    compared: AnalyticsFilters | None = None,
    limit: int = MAX_VALUES,
) -> list[BreakdownRow] | None:
    """Return the executions by the values of a dimension, most first; None where the filters ask for another one of
    device, page and trigger, because their combinations are not counted. Raises `NotCountedTogether`."""
    filtered = filters.get_value()
    if dimension != "status" and filtered is not None and filtered[0] != dimension:
        return None
    groups = _read_values(workspace_id, filters, dimension)
    before = _read_values(workspace_id, compared, dimension) if compared else None
    numbers = {value: build_numbers(rows) for value, rows in groups.items()}
    total = sum(group["executions"] for group in numbers.values())
    ranked = sorted(numbers.items(), key=lambda item: (-item[1]["executions"], item[0]))[:limit]
    return [
        {"value": value or None, **group, "share": group["executions"] / total if total else 0.0,
         **_compare(group["executions"], before, value)}  # type: ignore[typeddict-item]
        for value, group in ranked
    ]  # fmt: skip


def fetch_top(
    workspace_id: str, filters: AnalyticsFilters, compared: AnalyticsFilters | None = None, limit: int = 10
) -> list[TopRow]:
    """Return the automations and playbooks with the most executions in the period, most first; deleted ones included.
    `filters.kind` selects one of the two. Raises `NotCountedTogether`."""
    groups = _read_automations(workspace_id, filters)
    before = _read_automations(workspace_id, compared) if compared else None
    numbers = {automation_id: build_numbers(rows) for automation_id, rows in groups.items()}
    ids = sorted(numbers, key=lambda automation_id: (-numbers[automation_id]["executions"], automation_id))[:limit]
    names = list_automation_names(workspace_id, ids)
    return [
        {**names[id], **numbers[id], **_compare(numbers[id]["executions"], before, id)}  # type: ignore[typeddict-item]
        for id in ids
        if id in names
    ]


class RankingRow(TopRow):
    """A row of the API's ranking: `failed` includes timed out ones and no unknown outcomes."""

    succeeded: int
    failed: int
    last_executed_at: datetime | None


class _LastRow(TypedDict):
    id: str
    last_executed_at: datetime | None


def fetch_ranking(
    workspace_id: str, filters: AnalyticsFilters, compared: AnalyticsFilters | None, limit: int
) -> dict[str, list[RankingRow]]:
    """Return the `automations` and the `playbooks` with the most executions in the period, as the API shows them.
    Raises `NotCountedTogether`."""
    rows = fetch_top(workspace_id, filters, compared, limit=MAX_RANKED)
    query = Automation.select(Automation.id, Automation.last_executed_at).where(
        Automation.workspace_id == workspace_id, is_any(Automation.id, [row["id"] for row in rows])
    )
    with acting_as(workspace_id):
        last = {row["id"]: row["last_executed_at"] for row in fetch(_LastRow, query)}
    ranking = [_build_ranking_row(row, last.get(row["id"])) for row in rows]
    return {
        "automations": [row for row in ranking if row["type"] != "playbook"][:limit],
        "playbooks": [row for row in ranking if row["type"] == "playbook"][:limit],
    }


def _build_ranking_row(row: TopRow, last_executed_at: datetime | None) -> RankingRow:
    outcomes = row["outcomes"]
    return {
        **row,
        "succeeded": outcomes.get("succeeded", 0),
        "failed": sum(outcomes.get(name, 0) for name in FAILURES),
        "last_executed_at": last_executed_at,
    }


def _choose(filters: AnalyticsFilters) -> Counted:
    """Choose what to read for the filters; every execution has one trigger, so those of all triggers are all."""
    filtered = filters.get_value()
    return Counted("executions", *filtered) if filtered else Counted("executions", "trigger")


def _read_values(workspace_id: str, filters: AnalyticsFilters, dimension: str) -> dict[str, list[CountRow]]:
    if dimension == "status":
        return group_rows(read_counts(workspace_id, filters, _choose(filters)), lambda row: row["status"])
    filtered = filters.get_value()
    counted = Counted("executions", dimension, filtered[1] if filtered else None)
    return group_rows(read_counts(workspace_id, filters, counted, keys=("value",)), lambda row: row["value"])


def _read_automations(workspace_id: str, filters: AnalyticsFilters) -> dict[str, list[CountRow]]:
    rows = read_counts(workspace_id, filters, _choose(filters), keys=("automation_id",))
    return group_rows(rows, lambda row: row["automation_id"])


def _compare(executions: int, before: dict[str, list[CountRow]] | None, key: str) -> dict[str, float | None]:
    if before is None:
        return {"before": None, "change": None}
    count = sum(row["count"] for row in before.get(key, []))
    return {"before": count, "change": compute_change(executions, count)}
