"""An automation's runs over HTTP: its history, and how many by hour or day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import Field

import clock
from dashboard.access import Caller
from dashboard.answers import cursor_of, named, success, text_of
from dashboard.api import shapes
from dashboard.api.automations import automation_of
from dashboard.bodies import Body
from dashboard.errors import invalid
from dashboard.resource import Resource
from models.database import Row
from models.ids import is_id
from models.reports import runs as report
from rules.problems import Problem
from rules.runs import Kind

runs = Resource("runs")

#: The longest series, and what is shown where the caller names no beginning.
LONGEST = {"hour": timedelta(days=31), "day": timedelta(days=400)}
USUAL = {"hour": timedelta(hours=23), "day": timedelta(days=29)}

_RUN = shapes.record(
    id=shapes.ID, contactId=shapes.ID, executionId=shapes.ID, kind=shapes.TEXT, at=shapes.TIME,
    contactName=shapes.maybe(shapes.TEXT),
)  # fmt: skip


class RunPage(shapes.Page):
    """Which runs."""

    kind: Kind | None = None
    since: shapes.Moment | None = Field(None, alias="from")
    until: shapes.Moment | None = Field(None, alias="to")


class Series(Body):
    """How the runs are counted, and between which moments."""

    by: Literal["hour", "day"] = "day"
    kind: Kind | None = None
    since: shapes.Moment | None = Field(None, alias="from")
    until: shapes.Moment | None = Field(None, alias="to")


@runs.api(
    "GET",
    "/api/automations/{automation_id}/runs",
    permission="read",
    query=RunPage,
    answer={"runs": shapes.listing(_RUN), "nextCursor": shapes.maybe(shapes.TEXT)},
)
def list_runs(call: Caller, automation_id: str, query: RunPage) -> Any:
    """List an automation's runs, newest first."""
    automation_of(call.workspace_id, automation_id)
    found, cursor = paged_runs(call.workspace_id, automation_id, query, query.limit)
    shown = [named({name: one[name] for name in one if name != "has_execution"}) for one in found]
    return success(runs=shown, nextCursor=cursor)


@runs.api(
    "GET",
    "/api/automations/{automation_id}/runs/series",
    permission="read",
    query=Series,
    answer={"series": shapes.listing(shapes.record(at=shapes.TIME, count=shapes.COUNT, kinds={"type": "object"}))},
)
def show_series(call: Caller, automation_id: str, query: Series) -> Any:
    """Count an automation's runs by hour or day, in UTC, empty ones too."""
    automation_of(call.workspace_id, automation_id)
    until = shapes.moment_of(query.until) if query.until else clock.now()
    since = shapes.moment_of(query.since) if query.since else until - USUAL[query.by]
    if until - since > LONGEST[query.by]:
        raise invalid([Problem("from", f"lies more than {LONGEST[query.by].days} days before the end")])
    found = report.series(call.workspace_id, automation_id, query.by, since, until, query.kind)
    return success(series=[named(one) for one in found])


def paged_runs(workspace_id: str, automation_id: str, query: RunPage, limit: int) -> tuple[list[Row], str | None]:
    """A page of runs, and the cursor of the next where there is more."""
    found = report.page(
        workspace_id,
        automation_id,
        limit=limit + 1,
        before=_before(query.cursor),
        kind=query.kind,
        since=shapes.moment_of(query.since) if query.since else None,
        until=shapes.moment_of(query.until) if query.until else None,
    )
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], cursor_of(f"{last['at'].astimezone(UTC).isoformat()} {last['id']}")


def _before(cursor: str | None) -> tuple[datetime, str] | None:
    """The run that a cursor names, by its time and its id: runs that were counted late have young ids."""
    if cursor is None:
        return None
    at, _, run_id = text_of(cursor).partition(" ")
    try:
        moment = shapes.moment_of(at)
    except ValueError:
        moment = None
    if moment is None or not is_id(run_id):
        raise invalid([Problem("cursor", "is not a cursor that this list gave")])
    return moment, run_id
