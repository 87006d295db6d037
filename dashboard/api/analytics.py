"""Analytics over HTTP: execution statistics, and the most active automations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.executions import Id
from dashboard.bodies import Body
from dashboard.errors import not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models.ids import is_id
from models.reports import analytics as report

analytics = Resource("analytics")

_TOP = schemas.array_of(
    schemas.record(
        id=schemas.ID, name=schemas.TEXT, type=schemas.TEXT, executions=schemas.COUNT, succeeded=schemas.COUNT,
        failed=schemas.COUNT, lastExecutedAt=schemas.nullable(schemas.TIME),
    )
)  # fmt: skip


class SummaryQuery(Body):
    """The automation and the period."""

    automation_id: Id | None = Field(None, alias="automationId")
    since: schemas.Moment | None = Field(None, alias="from")
    until: schemas.Moment | None = Field(None, alias="to")


class TopQuery(Body):
    """The ranking and its length."""

    by: Literal["executions"] = "executions"
    limit: schemas.PageLimit = 10


@analytics.api(
    "GET",
    "/api/analytics/summary",
    permission="read",
    query=SummaryQuery,
    response={
        "summary": schemas.record(
            executions=schemas.COUNT, successRate=schemas.nullable(schemas.NUMBER),
            p50Ms=schemas.nullable(schemas.COUNT), p95Ms=schemas.nullable(schemas.COUNT), byStatus={"type": "object"},
            byDay=schemas.array_of(schemas.record(day=schemas.TEXT, executions=schemas.COUNT, succeeded=schemas.COUNT)),
            byStage=schemas.array_of(schemas.record(stage=schemas.TEXT, count=schemas.COUNT)),
        )
    },
)  # fmt: skip
def show_summary(call: Caller, query: SummaryQuery) -> Any:
    """Show execution counts, success rate, durations, and counts by day and stage."""
    if query.automation_id is not None and not is_id(query.automation_id):
        raise not_found("There is no automation with that id.")
    summary = report.fetch_summary(
        call.workspace_id,
        query.automation_id,
        schemas.parse_moment(query.since) if query.since else None,
        schemas.parse_moment(query.until) if query.until else None,
    )
    return success(summary=to_api_fields(summary))


@analytics.api(
    "GET",
    "/api/analytics/top",
    permission="read",
    query=TopQuery,
    response={"automations": _TOP, "playbooks": _TOP},
)
def show_top(call: Caller, query: TopQuery) -> Any:
    """Show the automations and playbooks with the most executions."""
    rows_by_kind = report.fetch_top(call.workspace_id, query.limit)
    return success(**{kind: [to_api_fields(row) for row in ranked] for kind, ranked in rows_by_kind.items()})
