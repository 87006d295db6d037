"""Analytics over HTTP: executions over time and by what they are counted by, funnels, actions, messages, experiments.

Every answer takes the same filters and `compare`; `compared` is the same answer about the compared period.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import clock
from dashboard.access import Caller
from dashboard.analytics_filters import AnalyticsQuery
from dashboard.api import schemas
from dashboard.errors import invalid_request, not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import workspace
from models.ids import is_id
from models.reports import (
    analytics_executions,
    analytics_experiments,
    analytics_messages,
    analytics_steps,
    analytics_summary,
)
from models.reports.analytics_filters import AnalyticsFilters, Interval
from models.reports.overview import list_automation_names
from rules.problems import Problem
from rules.tallies import OUTCOMES

analytics = Resource("analytics")

_RATE = schemas.nullable(schemas.NUMBER)
_MS = schemas.nullable(schemas.COUNT)
_OUTCOMES = schemas.record(**dict.fromkeys(OUTCOMES, schemas.COUNT))
_NUMBERS = {
    "executions": schemas.COUNT, "outcomes": _OUTCOMES, "successRate": _RATE, "p50Ms": _MS, "p95Ms": _MS,
}  # fmt: skip
_CHANGE = {"before": schemas.nullable(schemas.COUNT), "change": _RATE}
_TOP = schemas.array_of(
    schemas.record(
        id=schemas.ID, name=schemas.TEXT, type=schemas.TEXT, succeeded=schemas.COUNT, failed=schemas.COUNT,
        lastExecutedAt=schemas.nullable(schemas.TIME), **_NUMBERS, **_CHANGE,
    )
)  # fmt: skip
_PERIOD = schemas.record(**{"from": schemas.TIME, "to": schemas.TIME, "timeZone": schemas.TEXT})


def _declare(**fields: dict[str, Any]) -> dict[str, Any]:
    compared = {**schemas.record(period=_PERIOD, **fields), "type": ["object", "null"]}
    return {"period": _PERIOD, **fields, "compared": compared}


class TimelineQuery(AnalyticsQuery):
    """The filters, and the interval."""

    by: Interval = "day"


class BreakdownQuery(AnalyticsQuery):
    """The filters, and what executions are counted by."""

    dimension: Literal["device", "page", "trigger", "status"] = "status"
    limit: schemas.PageLimit = 20


class TopQuery(AnalyticsQuery):
    """The filters, the ranking and its length."""

    by: Literal["executions"] = "executions"
    limit: schemas.PageLimit = 10


class ActionsQuery(AnalyticsQuery):
    """The filters, the order and the number of actions."""

    order: Literal["slowest", "failing"] = "slowest"
    limit: schemas.PageLimit = 10


Read = Callable[[AnalyticsFilters, AnalyticsFilters | None], dict[str, Any]]


def answer(call: Caller, query: AnalyticsQuery, read: Read) -> dict[str, Any]:
    """Return the fields of an answer about the period of a query, and about its compared period. `read` gets the
    filters, and those to compare each row with."""
    row = workspace.get(call.workspace_id)
    filters = query.build_filters(row["timezone"] if row else "UTC", clock.now())
    compared = query.build_compared(filters)
    fields = {"period": _describe(filters), **read(filters, compared)}
    before = {"period": _describe(compared), **read(compared, None)} if compared else None
    return {**fields, "compared": before}


def require_automation(call: Caller, query: AnalyticsQuery) -> str:
    """Return the id of the automation that a query names, deleted or not. Raises `ProblemError` 422 without, 404 for
    one that the workspace does not have."""
    if query.automation_id is None:
        raise invalid_request([Problem("automationId", "is required for a funnel")])
    if not is_id(query.automation_id) or not list_automation_names(call.workspace_id, [query.automation_id]):
        raise not_found("There is no automation with that id.")
    return query.automation_id


def _describe(filters: AnalyticsFilters) -> dict[str, Any]:
    since, until = filters.find_bounds()
    return {"from": since, "to": until, "timeZone": filters.zone}


def to_rows(rows: Any) -> Any:
    """Return rows with the API's names, at any depth; None stays None."""
    if isinstance(rows, dict):
        return to_api_fields({name: to_rows(value) for name, value in rows.items()})
    return [to_rows(row) for row in rows] if isinstance(rows, list) else rows


@analytics.api(
    "GET",
    "/api/analytics/summary",
    permission="read",
    query=AnalyticsQuery,
    statuses=(404,),
    response=_declare(
        summary=schemas.record(
            **_NUMBERS, byStatus=_OUTCOMES,
            byDay=schemas.array_of(
                schemas.record(
                    day=schemas.TEXT, executions=schemas.COUNT, succeeded=schemas.COUNT, failed=schemas.COUNT,
                    unknown=schemas.COUNT, skipped=schemas.COUNT,
                )
            ),
            byStage=schemas.array_of(schemas.record(stage=schemas.TEXT, count=schemas.COUNT)),
        )
    ),
)  # fmt: skip
def show_summary(call: Caller, query: AnalyticsQuery) -> Any:
    """Show execution counts, success rate, durations, and counts by day and stage."""
    return success(**answer(call, query, lambda filters, _: {"summary": read_summary(call, filters)}))


def read_summary(call: Caller, filters: AnalyticsFilters) -> dict[str, Any]:
    """Return the summary of a period with the API's names."""
    summary = analytics_summary.fetch_summary(call.workspace_id, filters)
    zone = filters.get_zone()
    days = [
        {
            "day": point["at"].astimezone(zone).date().isoformat(),
            "executions": point["executions"],
            "failed": sum(point["outcomes"].get(name, 0) for name in ("failed", "timed_out")),
            **{name: dict(point["outcomes"]).get(name, 0) for name in ("succeeded", "unknown", "skipped")},
        }
        for point in summary["days"]
        if point["executions"]
    ]
    totals = summary["totals"]
    return {**to_rows(totals), "byStatus": totals["outcomes"], "byDay": days, "byStage": summary["stages"]}


@analytics.api(
    "GET",
    "/api/analytics/timeline",
    permission="read",
    query=TimelineQuery,
    statuses=(404,),
    response=_declare(timeline=schemas.array_of(schemas.record(at=schemas.TIME, **_NUMBERS))),
)
def show_timeline(call: Caller, query: TimelineQuery) -> Any:
    """Show executions, success rate and times of each day or hour of the workspace's time zone."""

    def read(filters: AnalyticsFilters, _: AnalyticsFilters | None) -> dict[str, Any]:
        return {"timeline": to_rows(analytics_executions.fetch_timeline(call.workspace_id, filters, query.by))}

    return success(**answer(call, query, read))


@analytics.api(
    "GET",
    "/api/analytics/breakdown",
    permission="read",
    query=BreakdownQuery,
    statuses=(404,),
    response=_declare(
        breakdown={
            **schemas.array_of(
                schemas.record(value=schemas.nullable(schemas.TEXT), share=schemas.NUMBER, **_NUMBERS, **_CHANGE)
            ),
            "type": ["array", "null"],
        }
    ),
)
def show_breakdown(call: Caller, query: BreakdownQuery) -> Any:
    """Show executions by device, page, trigger or status. Null where filters make it not measured."""

    def read(filters: AnalyticsFilters, compared: AnalyticsFilters | None) -> dict[str, Any]:
        rows = analytics_executions.fetch_breakdown(
            call.workspace_id, filters, query.dimension, compared, limit=query.limit
        )
        return {"breakdown": to_rows(rows)}

    return success(**answer(call, query, read))


@analytics.api(
    "GET",
    "/api/analytics/top",
    permission="read",
    query=TopQuery,
    statuses=(404,),
    response=_declare(automations=_TOP, playbooks=_TOP),
)
def show_top(call: Caller, query: TopQuery) -> Any:
    """Show the automations and playbooks with the most executions in the period."""

    def read(filters: AnalyticsFilters, compared: AnalyticsFilters | None) -> dict[str, Any]:
        rows = analytics_executions.fetch_ranking(call.workspace_id, filters, compared, query.limit)
        return {name: to_rows(ranking) for name, ranking in rows.items()}

    return success(**answer(call, query, read))


@analytics.api(
    "GET",
    "/api/analytics/funnel",
    permission="read",
    query=AnalyticsQuery,
    statuses=(404,),
    response=_declare(
        funnel={
            **schemas.record(
                executions=schemas.COUNT, skippedByRules=schemas.COUNT, sent=schemas.COUNT,
                replied=schemas.nullable(schemas.COUNT),
                steps=schemas.array_of(
                    schemas.record(
                        stepId=schemas.TEXT, action=schemas.nullable(schemas.TEXT), depth=schemas.COUNT,
                        arm=schemas.nullable(schemas.TEXT), entered=schemas.COUNT, succeeded=schemas.COUNT,
                        skipped=schemas.COUNT, failed=schemas.COUNT, waiting=schemas.COUNT, share=schemas.NUMBER,
                    )
                ),
            ),
            "type": ["object", "null"],
        }
    ),
)  # fmt: skip
def show_funnel(call: Caller, query: AnalyticsQuery) -> Any:
    """Show how far the executions of an automation get, step by step."""
    automation_id = require_automation(call, query)

    def read(filters: AnalyticsFilters, _: AnalyticsFilters | None) -> dict[str, Any]:
        return {"funnel": to_rows(analytics_steps.fetch_funnel(call.workspace_id, automation_id, filters))}

    return success(**answer(call, query, read))


@analytics.api(
    "GET",
    "/api/analytics/actions",
    permission="read",
    query=ActionsQuery,
    statuses=(404,),
    response=_declare(
        actions={
            **schemas.array_of(
                schemas.record(
                    automationId=schemas.ID, automationName=schemas.TEXT, automationType=schemas.TEXT,
                    action=schemas.TEXT, runs=schemas.COUNT, failed=schemas.COUNT, failedShare=schemas.NUMBER,
                    p50Ms=_MS, p95Ms=_MS,
                )
            ),
            "type": ["array", "null"],
        }
    ),
)  # fmt: skip
def show_actions(call: Caller, query: ActionsQuery) -> Any:
    """Show the slowest or the most often failing actions."""

    def read(filters: AnalyticsFilters, _: AnalyticsFilters | None) -> dict[str, Any]:
        rows = analytics_steps.fetch_actions(call.workspace_id, filters, query.order, query.limit)
        return {"actions": to_rows(rows)}

    return success(**answer(call, query, read))


@analytics.api(
    "GET",
    "/api/analytics/messages",
    permission="read",
    query=AnalyticsQuery,
    statuses=(404,),
    response=_declare(
        messages={
            **schemas.array_of(
                schemas.record(
                    channel=schemas.TEXT, sent=schemas.COUNT,
                    **{name: schemas.nullable(schemas.COUNT) for name in analytics_messages.MEASURES},
                    rates=schemas.record(**dict.fromkeys(analytics_messages.MEASURES, _RATE)), **_CHANGE,
                )
            ),
            "type": ["array", "null"],
        }
    ),
)  # fmt: skip
def show_messages(call: Caller, query: AnalyticsQuery) -> Any:
    """Show messages by channel and what became of them. Null is not measured."""

    def read(filters: AnalyticsFilters, compared: AnalyticsFilters | None) -> dict[str, Any]:
        return {"messages": to_rows(analytics_messages.fetch_messages(call.workspace_id, filters, compared))}

    return success(**answer(call, query, read))


@analytics.api(
    "GET",
    "/api/analytics/experiments",
    permission="read",
    query=AnalyticsQuery,
    statuses=(404,),
    response=_declare(
        experiments={
            **schemas.array_of(
                schemas.record(
                    automationId=schemas.ID, automationName=schemas.TEXT, stepId=schemas.TEXT, since=schemas.TIME,
                    isRunning=schemas.BOOL, isProven=schemas.BOOL, leader=schemas.nullable(schemas.TEXT),
                    runnerUp=schemas.nullable(schemas.TEXT), lead=_RATE, moreMessages=_MS, moreDays=_MS,
                    variants=schemas.array_of(
                        schemas.record(
                            name=schemas.TEXT, weight=schemas.nullable(schemas.COUNT), sent=schemas.COUNT,
                            delivered=schemas.nullable(schemas.COUNT), replied=schemas.nullable(schemas.COUNT),
                            clicked=schemas.nullable(schemas.COUNT), failed=schemas.COUNT, answerable=schemas.COUNT,
                            rate=_RATE, low=_RATE, high=_RATE,
                        )
                    ),
                )
            ),
            "type": ["array", "null"],
        }
    ),
)  # fmt: skip
def show_experiments(call: Caller, query: AnalyticsQuery) -> Any:
    """Show what became of the messages of each split's variants, with 95 % intervals of replies."""

    def read(filters: AnalyticsFilters, _: AnalyticsFilters | None) -> dict[str, Any]:
        rows = analytics_experiments.fetch_experiments(call.workspace_id, filters, clock.now())
        return {"experiments": to_rows(rows)}

    return success(**answer(call, query, read))
