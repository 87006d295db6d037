"""Statistics of automations: executions over time, their durations, and the busiest automations, without tests."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from models.database import Row, acting_as, fetch_row, fetch_rows
from models.reports.filters import ExecutionFilters


def fetch_summary(workspace_id: str, automation_id: str | None, since: datetime | None, until: datetime | None) -> Row:
    """Return `executions`, `by_status`, `success_rate` (0 to 1 of those succeeded or failed; None without any),
    `p50_ms` and `p95_ms` of those finished, `by_day` (days in UTC) and `by_stage` (current stages)."""
    where, arguments = ExecutionFilters(automation_id=automation_id, since=since, until=until, test=False).build_where()
    scope, parameters = f"from executions e where e.workspace_id = %s and {where}", [workspace_id, *arguments]
    with acting_as(workspace_id):
        times = fetch_row(
            "select percentile_disc(0.5) within group (order by e.execution_time_ms) p50_ms, "
            f"percentile_disc(0.95) within group (order by e.execution_time_ms) p95_ms {scope} "
            "and e.execution_time_ms is not null",
            parameters,
        )
        by_status = _fetch_counts(f"select e.status, count(*) {scope} group by 1", parameters)
        by_stage = _fetch_counts(f"select e.stage, count(*) {scope} group by 1", parameters)
        by_day = fetch_rows(
            "select to_char(e.created_at, 'YYYY-MM-DD') as day, count(*) executions, "
            "count(*) filter (where e.status = 'succeeded') succeeded, "
            "count(*) filter (where e.status = 'failed') failed, "
            f"count(*) filter (where e.status = 'skipped') skipped {scope} group by 1 order by 1",
            parameters,
        )
    succeeded, failed = by_status.get("succeeded", 0), by_status.get("failed", 0)
    return {
        "executions": sum(by_status.values()),
        "by_status": by_status,
        "success_rate": round(succeeded / (succeeded + failed), 4) if succeeded + failed else None,
        **(times or {}),
        "by_day": by_day,
        "by_stage": [{"stage": stage, "count": count} for stage, count in sorted(by_stage.items())],
    }


def _fetch_counts(sql: str, parameters: list[Any]) -> dict[str, int]:
    return {key: count for row in fetch_rows(sql, parameters) for key, count in [tuple(row.values())]}


def fetch_top(workspace_id: str, limit: int) -> dict[str, list[Row]]:
    """Return the automations and the playbooks with the most finished executions: id, name, executions, succeeded,
    failed, last_executed_at."""
    query = (
        "select id, name, type, executions, succeeded, failed, last_executed_at from automations "
        "where workspace_id = %s and deleted_at is null and (type = 'playbook') = %s order by 4 desc, id limit %s"
    )
    with acting_as(workspace_id):
        return {
            "automations": fetch_rows(query, (workspace_id, False, limit)),
            "playbooks": fetch_rows(query, (workspace_id, True, limit)),
        }
