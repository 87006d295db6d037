"""Numbers over HTTP: how executions went, and which automations do most."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dashboard.access import Caller
from dashboard.answers import named, success
from dashboard.api import shapes
from dashboard.api.executions import Id
from dashboard.bodies import Body
from dashboard.errors import not_there
from dashboard.resource import Resource
from models.ids import is_id
from models.reports import analytics as report

analytics = Resource("analytics")

_TOP = shapes.listing(
    shapes.record(
        id=shapes.ID, name=shapes.TEXT, type=shapes.TEXT, executions=shapes.COUNT, succeeded=shapes.COUNT,
        failed=shapes.COUNT, lastExecutedAt=shapes.maybe(shapes.TIME),
    )
)  # fmt: skip


class Span(Body):
    """Of which automation, and between which moments."""

    automation_id: Id | None = Field(None, alias="automationId")
    since: shapes.Moment | None = Field(None, alias="from")
    until: shapes.Moment | None = Field(None, alias="to")


class Top(Body):
    """The most by what, and how many."""

    by: Literal["executions"] = "executions"
    limit: shapes.Limit = 10


@analytics.api(
    "GET",
    "/api/analytics/summary",
    permission="read",
    query=Span,
    answer={
        "summary": shapes.record(
            executions=shapes.COUNT, successRate=shapes.maybe(shapes.NUMBER), p50Ms=shapes.maybe(shapes.COUNT),
            p95Ms=shapes.maybe(shapes.COUNT), byStatus={"type": "object"},
            byDay=shapes.listing(shapes.record(day=shapes.TEXT, executions=shapes.COUNT, succeeded=shapes.COUNT)),
            byStage=shapes.listing(shapes.record(stage=shapes.TEXT, count=shapes.COUNT)),
        )
    },
)  # fmt: skip
def show_summary(call: Caller, query: Span) -> Any:
    """Show executions, success rate, times, days and stages."""
    if query.automation_id is not None and not is_id(query.automation_id):
        raise not_there("There is no automation by that id.")
    found = report.summary(
        call.workspace_id,
        query.automation_id,
        shapes.moment_of(query.since) if query.since else None,
        shapes.moment_of(query.until) if query.until else None,
    )
    return success(summary=named(found))


@analytics.api(
    "GET",
    "/api/analytics/top",
    permission="read",
    query=Top,
    answer={"automations": _TOP, "playbooks": _TOP},
)
def show_top(call: Caller, query: Top) -> Any:
    """Show the automations and playbooks with the most executions."""
    found = report.top(call.workspace_id, query.limit)
    return success(**{kind: [named(one) for one in ranked] for kind, ranked in found.items()})
