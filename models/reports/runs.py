"""Runs for display: the last day of many automations at once, the history of one, and counts by hour or day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from peewee import JOIN, SQL, ModelSelect, Tuple, fn

import clock
from models.database import acting_as
from models.expressions import is_any, now
from models.queries import call, fetch, fetch_value, fetch_values
from models.tables import Automation, AutomationRun, Contact, Execution
from rules.actions import RunKind
from rules.runs import build_hourly_counts

#: A page is first searched in these days: planning a query over all ninety partitions takes longer than running it.
_RECENT_WINDOW, _CLOCK_SKEW = timedelta(days=7), timedelta(days=1)

Interval = Literal["hour", "day"]

#: An id of no row.
NIL_UUID = "00000000-0000-0000-0000-000000000000"

# By hand: it fills the empty intervals of a generated series.
_SERIES = """
    with spans as (
        select generate_series(date_trunc(%(by)s, %(since)s), %(until)s - interval '1 microsecond',
            ('1 ' || %(by)s)::interval) as at
    ), counted as (
        select date_trunc(%(by)s, r.at) as at, r.kind, count(*) as runs from automation_runs r
        where r.workspace_id = %(workspace)s and r.automation_id = %(automation)s
            and r.at >= date_trunc(%(by)s, %(since)s) and r.at >= %(earliest)s and r.at < %(until)s
            and (%(kind)s::text is null or r.kind = %(kind)s)
        group by 1, 2
    )
    select s.at, coalesce(sum(c.runs), 0)::bigint as count,
        coalesce(jsonb_object_agg(c.kind, c.runs) filter (where c.kind is not null), '{}') as kinds
    from spans s left join counted c on c.at = s.at group by s.at order by s.at
"""


class LastDay(TypedDict):
    """An automation's runs in the exact last 24 hours, and in each of 24 clock hours, the oldest first."""

    last24_hours: int
    hours: list[int]


class RunRow(TypedDict):
    """A run with the name of its contact; `has_execution` is False if retention has removed the execution."""

    id: str
    contact_id: str
    execution_id: str
    kind: RunKind
    at: datetime
    has_execution: bool
    contact_name: str | None


class SpanRow(TypedDict):
    """The runs of an hour or a day: its start, their number, and the number of each kind."""

    at: datetime
    count: int
    kinds: dict[RunKind, int]


class _HourlyRow(TypedDict):
    id: str
    hourly_runs: list[int]
    newest_run_hour: int | None
    first_hour: int


def fetch_last_day(workspace_id: str, automation_ids: Sequence[str]) -> dict[str, LastDay]:
    """Return the last day of each automation, by its id."""
    with acting_as(workspace_id):
        current: datetime = fetch_value(call(now()))
        rows = fetch(_HourlyRow, _select_last_day(workspace_id, automation_ids, current))
    current_hour = int(current.timestamp()) // 3600
    return {row["id"]: _build_last_day(row, current_hour) for row in rows}


def _build_last_day(row: _HourlyRow, current_hour: int) -> LastDay:
    hours = build_hourly_counts(current_hour, row["hourly_runs"], row["newest_run_hour"])
    return {"last24_hours": sum(hours) + row["first_hour"], "hours": hours}


def explain_last_day() -> list[str]:
    """Return the query plan of `fetch_last_day`, line by line."""
    sql, parameters = _select_last_day(NIL_UUID, [NIL_UUID], clock.now()).sql()
    return fetch_values("explain " + sql, parameters)


def _select_last_day(workspace_id: str, automation_ids: Sequence[str], current: datetime) -> ModelSelect[Any]:
    # The bounds are parameters, not function calls: under row security those would read each row of two hours.
    begins = current - timedelta(hours=24)
    first_whole_hour = current.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    # The hour that began before the last 24 hours: the only one whose rows are counted.
    first_hour = AutomationRun.select(fn.count(SQL("*"))).where(
        AutomationRun.workspace_id == workspace_id,
        AutomationRun.automation_id == Automation.id,
        AutomationRun.at > begins,
        AutomationRun.at < first_whole_hour,
    )
    return Automation.select(
        Automation.id, Automation.hourly_runs, Automation.newest_run_hour, first_hour.alias("first_hour")
    ).where(Automation.workspace_id == workspace_id, is_any(Automation.id, automation_ids))


def fetch_page(
    workspace_id: str,
    automation_id: str,
    *,
    limit: int,
    before: tuple[datetime, str] | None = None,
    kind: RunKind | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[RunRow]:
    """Return at most `limit` runs, newest first, older than `before` (its time and id). `until` is exclusive."""
    query = _select_runs(workspace_id, automation_id, kind, since, until)
    if before is not None:
        # The time also separately, because the planner prunes partitions only by that condition.
        query = query.where(AutomationRun.at <= before[0], Tuple(AutomationRun.at, AutomationRun.id) < Tuple(*before))
    newest = min(moment for moment in (clock.now(), until, before and before[0]) if moment)
    recent = query.where(AutomationRun.at >= newest - _RECENT_WINDOW, AutomationRun.at < newest + _CLOCK_SKEW)
    with acting_as(workspace_id):
        rows = _fetch_page(recent, limit)
        return rows if len(rows) == limit else _fetch_page(query, limit)


def _select_runs(
    workspace_id: str, automation_id: str, kind: RunKind | None, since: datetime | None, until: datetime | None
) -> ModelSelect[Any]:
    query = AutomationRun.select(
        AutomationRun.id, AutomationRun.contact_id, AutomationRun.execution_id, AutomationRun.kind, AutomationRun.at
    ).where(AutomationRun.workspace_id == workspace_id, AutomationRun.automation_id == automation_id)
    if kind is not None:
        query = query.where(AutomationRun.kind == kind)
    if since is not None:
        query = query.where(AutomationRun.at >= since)
    if until is not None:
        query = query.where(AutomationRun.at < until)
    return query


def _fetch_page(query: ModelSelect[Any], limit: int) -> list[RunRow]:
    newest_first = query.order_by(AutomationRun.at.desc(), AutomationRun.id.desc())
    page = newest_first.limit(limit).cte("page", materialized=True)
    full_name = fn.nullif(fn.concat_ws(" ", Contact.first_name, Contact.last_name), "")
    return fetch(
        RunRow,
        page.select_from(
            page.c.id, page.c.contact_id, page.c.execution_id, page.c.kind, page.c.at,
            Execution.id.is_null(False).alias("has_execution"),
            fn.coalesce(full_name, Contact.username, Contact.email, Contact.phone).alias("contact_name"),
        )
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == page.c.contact_id)
        .join(Execution, JOIN.LEFT_OUTER, on=Execution.id == page.c.execution_id)
        .order_by(page.c.at.desc(), page.c.id.desc()),
    )  # fmt: skip


def fetch_series(
    workspace_id: str,
    automation_id: str,
    by: Interval,
    since: datetime,
    until: datetime,
    kind: RunKind | None = None,
) -> list[SpanRow]:
    """Return the runs of every hour or day (in UTC) from that of `since` up to `until`, including empty ones."""
    parameters = {
        "by": by, "since": since, "until": until, "earliest": since - timedelta(days=1), "kind": kind,
        "workspace": workspace_id, "automation": automation_id,
    }  # fmt: skip
    with acting_as(workspace_id):
        return fetch(SpanRow, _SERIES, parameters)
