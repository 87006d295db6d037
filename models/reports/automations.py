"""Automations for display: a page of the list, and one with its definition and versions."""

from __future__ import annotations

from collections.abc import Sequence

from models.database import Row, acting_as, fetch_row, fetch_rows
from models.reports.search import build_prefix_query

_COLUMNS = """
    a.id, a.name, a.type, a.enabled, a.version, a.trigger_type, a.total_runs, a.last_run_at, a.last_executed_at,
    a.executions, a.succeeded, a.failed, a.skipped, a.paused_at,
    a.draft is not null has_draft, a.created_at, a.updated_at
"""


def fetch_page(
    workspace_id: str,
    *,
    limit: int,
    before: str | None = None,
    q: str | None = None,
    type: str | None = None,
    enabled: bool | None = None,
) -> list[Row]:
    """Return at most `limit` automations, newest first, older than `before` (an id); `q` has words of the name."""
    conditions = ["a.workspace_id = %s and a.deleted_at is null"]
    parameters: list[object] = [workspace_id]
    for condition, value in (
        ("a.id < %s", before),
        ("a.type = %s", type),
        ("a.enabled = %s", enabled),
        ("to_tsvector('simple', a.name) @@ to_tsquery('simple', %s)", q and (build_prefix_query(q) or "")),
    ):
        if value is not None:
            conditions.append(condition)
            parameters.append(value)
    with acting_as(workspace_id):
        return fetch_rows(
            f"select {_COLUMNS} from automations a where {' and '.join(conditions)} order by a.id desc limit %s",
            [*parameters, limit],
        )


def find(workspace_id: str, automation_id: str) -> Row | None:
    """Return one automation with `definition` (the published one), `draft` and `versions`, newest first."""
    with acting_as(workspace_id):
        row = fetch_row(
            f"select {_COLUMNS}, a.draft, v.definition from automations a "
            "left join workflow_versions v on v.id = a.version_id "
            "where a.workspace_id = %s and a.id = %s and a.deleted_at is null",
            (workspace_id, automation_id),
        )
        if row is None:
            return None
        row["versions"] = fetch_rows(
            "select version, published_by, published_at from workflow_versions where automation_id = %s "
            "order by version desc",
            (automation_id,),
        )
        row["in_flight"] = fetch_rows(
            "select count(*) count from executions where automation_id = %s and finished_at is null", (automation_id,)
        )[0]["count"]
        return row


def fetch_card_data(workspace_id: str, automation_ids: Sequence[str]) -> dict[str, Row]:
    """Return each automation's published `trigger` and the number of its executions `in_flight`, without tests."""
    with acting_as(workspace_id):
        rows = fetch_rows(
            """
            with flight as materialized (
                -- One part for each status, because each has a small index.
                select automation_id from executions
                where workspace_id = %(workspace)s and status = 'pending' and due_at is not null and not test
                union all select automation_id from executions
                where workspace_id = %(workspace)s and status = 'running' and not test
                union all select automation_id from executions
                where workspace_id = %(workspace)s and status = 'waiting' and not test
            )
            select a.id, v.definition -> 'trigger' as trigger, (
                select count(*) from flight f where f.automation_id = a.id
            ) in_flight
            from automations a left join workflow_versions v on v.id = a.version_id
            where a.workspace_id = %(workspace)s and a.id = any(%(ids)s::uuid[])
            """,
            {"workspace": workspace_id, "ids": list(automation_ids)},
        )
    return {row["id"]: row for row in rows}
