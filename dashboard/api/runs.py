"""The runs of an automation over HTTP: the history, and counts by hour or day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

import clock
from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import require_automation
from dashboard.bodies import Body
from dashboard.errors import invalid_request
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models.reports import runs as report
from models.reports.runs import Interval, RunRow
from rules.actions import RunKind
from rules.bodies import Pattern
from rules.problems import Problem

runs = Resource("runs")

#: The longest series, and the default length.
MAX_SPAN: dict[Interval, timedelta] = {"hour": timedelta(days=31), "day": timedelta(days=400)}
DEFAULT_SPAN: dict[Interval, timedelta] = {"hour": timedelta(hours=23), "day": timedelta(days=29)}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Microseconds since 1970 and the id of the last run of a page.
RunCursor = Annotated[str, Pattern(rf"[0-9]{{1,16}}\.{schemas.ID_PATTERN}", schemas.NO_CURSOR)]

_RUN = schemas.record(
    id=schemas.ID, contactId=schemas.ID, executionId=schemas.ID, kind=schemas.TEXT, at=schemas.TIME,
    contactName=schemas.nullable(schemas.TEXT),
)  # fmt: skip


class RunPage(schemas.Page):
    """The filters and page of the list."""

    cursor: RunCursor | None = None
    kind: RunKind | None = None
    since: schemas.Moment | None = Field(None, alias="from")
    until: schemas.Moment | None = Field(None, alias="to")


class SeriesQuery(Body):
    """The interval, the filters and the period of the series."""

    by: Interval = "day"
    kind: RunKind | None = None
    since: schemas.Moment | None = Field(None, alias="from")
    until: schemas.Moment | None = Field(None, alias="to")


@runs.api(
    "GET",
    "/api/automations/{automation_id}/runs",
    permission="read",
    query=RunPage,
    response={"runs": schemas.array_of(_RUN), "nextCursor": schemas.nullable(schemas.TEXT)},
)
def list_runs(call: Caller, automation_id: str, query: RunPage) -> Any:
    """List an automation's runs, newest first."""
    require_automation(call.workspace_id, automation_id)
    rows, cursor = fetch_run_page(call.workspace_id, automation_id, query, query.limit)
    items = [to_api_fields({name: value for name, value in row.items() if name != "has_execution"}) for row in rows]
    return success(runs=items, nextCursor=cursor)


@runs.api(
    "GET",
    "/api/automations/{automation_id}/runs/series",
    permission="read",
    query=SeriesQuery,
    response={
        "series": schemas.array_of(schemas.record(at=schemas.TIME, count=schemas.COUNT, kinds={"type": "object"}))
    },
)
def show_series(call: Caller, automation_id: str, query: SeriesQuery) -> Any:
    """Count an automation's runs by hour or day in UTC, including empty intervals."""
    require_automation(call.workspace_id, automation_id)
    until = schemas.parse_moment(query.until) if query.until else clock.now()
    since = schemas.parse_moment(query.since) if query.since else until - DEFAULT_SPAN[query.by]
    if until - since > MAX_SPAN[query.by]:
        raise invalid_request([Problem("from", f"must be at most {MAX_SPAN[query.by].days} days before the end")])
    rows = report.fetch_series(call.workspace_id, automation_id, query.by, since, until, query.kind)
    return success(series=[to_api_fields(row) for row in rows])


def fetch_run_page(
    workspace_id: str, automation_id: str, query: RunPage, limit: int
) -> tuple[list[RunRow], str | None]:
    """A page of runs, and the cursor of the next page or None."""
    rows = report.fetch_page(
        workspace_id,
        automation_id,
        limit=limit + 1,
        before=_parse_run_cursor(query.cursor),
        kind=query.kind,
        since=schemas.parse_moment(query.since) if query.since else None,
        until=schemas.parse_moment(query.until) if query.until else None,
    )
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], f"{(last['at'] - _EPOCH) // timedelta(microseconds=1)}.{last['id']}"


def _parse_run_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """The time and id of the run in a cursor: runs that were counted late have newer ids than their time."""
    if cursor is None:
        return None
    microseconds, _, run_id = cursor.partition(".")
    return _EPOCH + timedelta(microseconds=int(microseconds)), run_id
