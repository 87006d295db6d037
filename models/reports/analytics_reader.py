"""Reads the counts of Analytics: tallies by hour and by day, and the changes that are not added to them yet.

Whole days in UTC are read from the tallies of days where no interval is asked for, the rest from those of hours. The
scheduler only makes this faster: tallies and changes together always equal the rows (migration 0055).

The statement is written by hand: it reads each part by the tallies' key, whatever the tables hold, and computes the
percentiles of thousands of intervals in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal, TypedDict

from models.database import acting_as
from models.queries import fetch, fetch_values
from models.reports.analytics_filters import DIMENSIONS, AnalyticsFilters, Interval
from models.tables import Automation
from rules.tallies import FAILURES, OUTCOMES, Outcome, compute_success_rate, estimate_ms

Key = Literal["automation_id", "value"]

_NO_AUTOMATION = "00000000-0000-0000-0000-000000000000"
_STATEMENT = """
    with parts as (
        select at, automation_id, tracked, value, status, bucket, {count} as count from analytics_tallies
        where workspace_id = %(workspace)s and subject = %(subject)s and dimension = %(dimension)s and span = 'hour'
            and at >= %(since)s and at < %(first_day)s and {automation}
        union all
        select at, automation_id, tracked, value, status, bucket, {count} as count from analytics_tallies
        where workspace_id = %(workspace)s and subject = %(subject)s and dimension = %(dimension)s and span = 'day'
            and at >= %(first_day)s and at < %(last_day)s and {automation}
        union all
        select at, automation_id, tracked, value, status, bucket, {count} as count from analytics_tallies
        where workspace_id = %(workspace)s and subject = %(subject)s and dimension = %(dimension)s and span = 'hour'
            and at >= %(last_day)s and at < %(until)s and {automation}
        union all
        select at, automation_id, tracked, value, status, bucket, count from analytics_changes
        where workspace_id = %(workspace)s and subject = %(subject)s and dimension = %(changed_dimension)s
            and at >= %(since)s and at < %(until)s and {changed_automation}
    ), counted as (
        select {expressions} status, bucket, sum(count::integer) as count from parts
        where (%(tracked)s::boolean is null or tracked = %(tracked)s)
            and (%(value)s::text is null or value = %(value)s) and (%(status)s::text is null or status = %(status)s)
        group by {keys} status, bucket having sum(count::integer) <> 0
    ), timed as (
        select {keys} bucket, sum(sum(count)::float8) over ({partition} order by bucket) as passed,
            sum(sum(count)::float8) over ({partition}) as total
        from counted where bucket >= 0 group by {keys} bucket
    ), percentiles as (
        select {keys} min(bucket) filter (where passed >= 0.5 * total) as p50,
            min(bucket) filter (where passed >= 0.95 * total) as p95
        from timed {group}
    ), statuses as (
        select {keys} status, sum(count)::bigint as count from counted group by {keys} status
    )
    select {columns}, status, count, p50, p95 from statuses left join percentiles {join}
"""
_SENDERS = """
    select distinct automation_id from (
        select automation_id from analytics_tallies
        where workspace_id = %(workspace)s and subject = 'messages' and dimension = 'channel' and span = 'hour'
            and at >= %(since)s and at < %(until)s and value = %(channel)s and status = 'sent' and count > 0
        union all
        select automation_id from analytics_changes
        where workspace_id = %(workspace)s and subject = 'messages' and dimension = 'channel'
            and at >= %(since)s and at < %(until)s and value = %(channel)s and status = 'sent'
    ) senders
"""


class CountRow(TypedDict):
    """A count of one status, with the buckets of the percentiles of its group. `point` is the number of the interval,
    from 0; `automation_id` and `value` are those of the group, or the same for all."""

    point: int
    automation_id: str
    value: str
    status: str
    count: int
    p50: int | None
    p95: int | None


class Numbers(TypedDict):
    """Executions in numbers. `success_rate` is 0 to 1 of those succeeded or failed (timed out included), None without
    any; unknown, skipped, cancelled and active ones are in neither. `p50_ms` and `p95_ms` are the times of the
    succeeded ones without deliberate waits, at most 5 % off; None without any, and by page, where times are not kept.
    """

    executions: int
    outcomes: dict[Outcome, int]
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None


@dataclass(frozen=True)
class Counted:
    """What is counted: a subject, the dimension whose values are read, and a value to select."""

    subject: Literal["executions", "steps", "messages"]
    dimension: str
    value: str | None = None


def read_counts(
    workspace_id: str, filters: AnalyticsFilters, counted: Counted, by: Interval | None = None, keys: Sequence[Key] = ()
) -> list[CountRow]:
    """Return counts by status, grouped by the intervals of `by` and by `keys`."""
    since, until = filters.find_bounds()
    first_day, last_day = (until, until) if by else _find_whole_days(since, until)
    with acting_as(workspace_id):
        has_total = counted.subject == "executions" and counted.dimension in DIMENSIONS
        scope = _find_scope(workspace_id, filters, has_total and "automation_id" not in keys)
        is_whole = scope.is_all and counted.value is None and not keys
        statement = _STATEMENT.format(
            automation=scope.tallies, changed_automation=scope.changes, count=scope.count, **_build_groups(by, keys)
        )
        return fetch(
            CountRow,
            statement,
            {
                "workspace": workspace_id, "subject": counted.subject, "since": since, "until": until,
                "first_day": first_day, "last_day": last_day, "edges": filters.list_edges(by) if by else [],
                "ids": scope.ids, "value": counted.value, "no_automation": _NO_AUTOMATION,
                "dimension": "total" if is_whole else counted.dimension, "changed_dimension": counted.dimension,
                "tracked": _TRACKED[filters.kind],
                "status": filters.status if counted.subject == "executions" else None,
            },
        )  # fmt: skip


def _build_groups(by: Interval | None, keys: Sequence[Key]) -> dict[str, str]:
    """Build the parts of the statement that group by the intervals and keys, and by nothing else: sorting costs."""
    expressions = {"point": "width_bucket(at, %(edges)s::timestamptz[]) - 1"} if by else {}
    expressions |= {key: key for key in keys}
    constants = {"point": "0", "automation_id": "%(no_automation)s::uuid", "value": "''"}
    names = ", ".join(expressions)
    return {
        "expressions": "".join(f"{expression} as {name}, " for name, expression in expressions.items()),
        "keys": f"{names}," if names else "",
        "partition": f"partition by {names}" if names else "",
        "group": f"group by {names}" if names else "",
        "columns": ", ".join(
            name if name in expressions else f"{value} as {name}" for name, value in constants.items()
        ),
        "join": f"using ({names})" if names else "on true",
    }


_TRACKED: dict[str, bool | None] = {"everything": None, "automations": False, "playbooks": True}


@dataclass(frozen=True)
class _Scope:
    """Which rows are added up, as SQL: those of the automations `ids`, or the totals without those of `ids`."""

    tallies: str
    changes: str
    count: str = "count"
    ids: Sequence[str] = ()
    is_all: bool = False


#: The totals of all automations; where they don't serve, each automation's own.
_ALL = _Scope("automation_id = %(no_automation)s", "true", is_all=True)
_EACH = _Scope("automation_id <> %(no_automation)s", "true")


def _find_scope(workspace_id: str, filters: AnalyticsFilters, has_total: bool) -> _Scope:
    ids = _list_automations(workspace_id, filters)
    if ids is None:
        return _ALL if has_total else _EACH
    others = _list_others(workspace_id, ids) if has_total and filters.channel else None
    if others is None or len(others) >= len(ids):
        return _Scope("automation_id = any(%(ids)s::uuid[])", "automation_id = any(%(ids)s::uuid[])", ids=ids)
    # Nearly all automations: fewer rows are read when the others are taken from the totals.
    return _Scope(
        "automation_id = any(%(ids)s::uuid[] || %(no_automation)s::uuid)",
        "automation_id <> all(%(ids)s::uuid[])",
        "case when automation_id = %(no_automation)s then count else -count end",
        others,
    )


def _list_others(workspace_id: str, ids: Sequence[str]) -> list[str]:
    query = Automation.select(Automation.id).where(Automation.workspace_id == workspace_id, Automation.id.not_in(ids))
    return fetch_values(query)


def _list_automations(workspace_id: str, filters: AnalyticsFilters) -> list[str] | None:
    """Return the ids of the automations that the filters select, or None for all."""
    if filters.channel is None:
        return [filters.automation_id] if filters.automation_id else None
    since, until = filters.find_bounds()
    ids = fetch_values(
        _SENDERS, {"workspace": workspace_id, "since": since, "until": until, "channel": filters.channel}
    )
    return [automation_id for automation_id in ids if filters.automation_id in (None, automation_id)]


def _find_whole_days(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """Return the first and the last midnight in UTC of a period; both are its end where no day is whole."""
    last = datetime.combine(until.astimezone(UTC).date(), time.min, UTC)
    midnight = datetime.combine(since.astimezone(UTC).date(), time.min, UTC)
    first = midnight if midnight == since else midnight + timedelta(days=1)
    return (first, last) if first < last else (until, until)


def group_rows(rows: Iterable[CountRow], key: Callable[[CountRow], Any]) -> dict[Any, list[CountRow]]:
    """Return the rows by their key."""
    groups: dict[Any, list[CountRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def build_numbers(rows: Sequence[CountRow]) -> Numbers:
    """Return the numbers of one group."""
    counts = {row["status"]: row["count"] for row in rows}
    outcomes: dict[Outcome, int] = {name: counts[name] for name in OUTCOMES if counts.get(name)}
    p50, p95 = (rows[0]["p50"], rows[0]["p95"]) if rows else (None, None)
    return {
        "executions": sum(counts.values()),
        "outcomes": outcomes,
        "success_rate": compute_success_rate(counts.get("succeeded", 0), sum(counts.get(name, 0) for name in FAILURES)),
        "p50_ms": None if p50 is None else estimate_ms(p50),
        "p95_ms": None if p95 is None else estimate_ms(p95),
    }
