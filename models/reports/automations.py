"""Automations as people see them: a page of the list, and one with its definition and versions."""

from __future__ import annotations

from collections.abc import Sequence

from models.database import Row, acting_as, row, rows
from models.reports.search import prefix_query

_COLUMNS = """
    a.id, a.name, a.type, a.enabled, a.version, a.trigger_type, a.total_runs, a.last_run_at, a.last_executed_at,
    a.executions, a.succeeded, a.failed, a.skipped, a.paused_at,
    a.draft is not null has_draft, a.created_at, a.updated_at
"""


def page(
    workspace_id: str,
    *,
    limit: int,
    before: str | None = None,
    q: str | None = None,
    type: str | None = None,
    enabled: bool | None = None,
) -> list[Row]:
    """At most `limit` automations, newest first, older than the one with id `before`; `q` are words of the name."""
    conditions = ["a.workspace_id = %s and a.deleted_at is null"]
    parameters: list[object] = [workspace_id]
    for condition, given in (
        ("a.id < %s", before),
        ("a.type = %s", type),
        ("a.enabled = %s", enabled),
        ("to_tsvector('simple', a.name) @@ to_tsquery('simple', %s)", q and (prefix_query(q) or "")),
    ):
        if given is not None:
            conditions.append(condition)
            parameters.append(given)
    with acting_as(workspace_id):
        return rows(
            f"select {_COLUMNS} from automations a where {' and '.join(conditions)} order by a.id desc limit %s",
            [*parameters, limit],
        )


def one(workspace_id: str, automation_id: str) -> Row | None:
    """One automation with `definition` (the published one), `draft` and `versions`, newest first."""
    with acting_as(workspace_id):
        found = row(
            f"select {_COLUMNS}, a.draft, v.definition from automations a "
            "left join workflow_versions v on v.id = a.version_id "
            "where a.workspace_id = %s and a.id = %s and a.deleted_at is null",
            (workspace_id, automation_id),
        )
        if found is None:
            return None
        found["versions"] = rows(
            "select version, published_by, published_at from workflow_versions where automation_id = %s "
            "order by version desc",
            (automation_id,),
        )
        found["in_flight"] = rows(
            "select count(*) count from executions where automation_id = %s and finished_at is null", (automation_id,)
        )[0]["count"]
        return found


def in_motion(workspace_id: str, automation_ids: Sequence[str]) -> dict[str, Row]:
    """By automation what its card shows beside its counters: its `trigger` as published, and `in_flight` executions.
    Tests are left out."""
    with acting_as(workspace_id):
        found = rows(
            """
            with flight as materialized (
                -- One part for each status, because each has a small index of its own.
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
    return {one["id"]: one for one in found}
