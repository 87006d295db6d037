"""Statistics of automations: executions over time, their durations, and the busiest automations, without tests."""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from typing import Any, TypedDict

from peewee import SQL, ModelSelect, NodeList, fn

from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.queries import fetch
from models.tables import Automation, Execution
from rules.language import AutomationType
from rules.stages import Stage, Status


class DayRow(TypedDict):
    """The executions accepted on a day in UTC, such as `2026-05-01`."""

    day: str
    executions: int
    succeeded: int
    failed: int
    skipped: int


class StageRow(TypedDict):
    """How many executions are in a stage."""

    stage: Stage
    count: int


class Summary(TypedDict):
    """Statistics of executions. `success_rate` is 0 to 1 of those succeeded or failed, or None without any; `p50_ms`
    and `p95_ms` are durations of those finished."""

    executions: int
    by_status: dict[Status, int]
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None
    by_day: list[DayRow]
    by_stage: list[StageRow]


class TopRow(TypedDict):
    """An automation with its counts of finished executions."""

    id: str
    name: str
    type: AutomationType
    executions: int
    succeeded: int
    failed: int
    last_executed_at: datetime | None


class _StatusRow(TypedDict):
    status: Status
    count: int


class _DurationsRow(TypedDict):
    p50_ms: int | None
    p95_ms: int | None


_COUNT = fn.count(SQL("*"))


def fetch_summary(
    workspace_id: str, automation_id: str | None, since: datetime | None, until: datetime | None
) -> Summary:
    """Return the statistics of the executions accepted in a period, of all automations or of one."""
    filters = ExecutionFilters(automation_id=automation_id, since=since, until=until, test=False)
    scope = Execution.select().where(filters.build_condition())
    with acting_as(workspace_id):
        (durations,) = fetch(_DurationsRow, _select_durations(scope))
        statuses = fetch(_StatusRow, scope.select(Execution.status, _COUNT.alias("count")).group_by(Execution.status))
        stages = fetch(StageRow, scope.select(Execution.stage, _COUNT.alias("count")).group_by(Execution.stage))
        days = fetch(DayRow, _select_days(scope))
    by_status = {row["status"]: row["count"] for row in statuses}
    succeeded, failed = by_status.get("succeeded", 0), by_status.get("failed", 0)
    return {
        "executions": sum(by_status.values()),
        "by_status": by_status,
        "success_rate": round(succeeded / (succeeded + failed), 4) if succeeded + failed else None,
        **durations,
        "by_day": days,
        "by_stage": sorted(stages, key=itemgetter("stage")),
    }


def _select_durations(scope: ModelSelect[Any]) -> ModelSelect[Any]:
    return scope.select(_build_percentile(0.5).alias("p50_ms"), _build_percentile(0.95).alias("p95_ms")).where(
        Execution.execution_time_ms.is_null(False)
    )


def _build_percentile(fraction: float) -> Any:
    return NodeList(
        (fn.percentile_disc(fraction), SQL("within group (order by"), Execution.execution_time_ms, SQL(")"))
    )


def _select_days(scope: ModelSelect[Any]) -> ModelSelect[Any]:
    return (
        scope.select(
            fn.to_char(Execution.created_at, "YYYY-MM-DD").alias("day"),
            _COUNT.alias("executions"),
            *(_COUNT.filter(Execution.status == status).alias(status) for status in ("succeeded", "failed", "skipped")),
        )
        .group_by(SQL("day"))
        .order_by(SQL("day"))
    )


def fetch_top(workspace_id: str, limit: int) -> dict[str, list[TopRow]]:
    """Return the `automations` and the `playbooks` with the most finished executions."""
    query = (
        Automation.select(
            Automation.id, Automation.name, Automation.type, Automation.executions, Automation.succeeded,
            Automation.failed, Automation.last_executed_at,
        )
        .where(Automation.workspace_id == workspace_id, Automation.deleted_at.is_null())
        .order_by(Automation.executions.desc(), Automation.id)
        .limit(limit)
    )  # fmt: skip
    with acting_as(workspace_id):
        return {
            "automations": fetch(TopRow, query.where(Automation.type != "playbook")),
            "playbooks": fetch(TopRow, query.where(Automation.type == "playbook")),
        }
