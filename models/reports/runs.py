"""Runs for display: the last day of many automations at once, the history of one, and counts by hour or day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import clock
from models.database import Row, acting_as, fetch_rows, fetch_value
from rules.runs import build_hourly_counts

#: A page is first searched in these days: planning a query over all ninety partitions takes longer than running it.
_RECENT_WINDOW, _CLOCK_SKEW = timedelta(days=7), timedelta(days=1)

#: An id of no row.
NIL_UUID = "00000000-0000-0000-0000-000000000000"

# The bounds are parameters, not function calls: under row security those would read each row of two hours.
_LAST_DAY = """
    select a.id, a.hourly_runs, a.newest_run_hour, (
        -- The hour that began before the last 24 hours: the only one whose rows are counted.
        select count(*) from automation_runs r
        where r.workspace_id = %(workspace)s and r.automation_id = a.id and r.at > %(begins)s and r.at < %(first_whole)s
    ) as first_hour
    from automations a where a.workspace_id = %(workspace)s and a.id = any(%(ids)s::uuid[])
"""


def fetch_last_day(workspace_id: str, automation_ids: Sequence[str]) -> dict[str, Row]:
    """Return by automation the exact `last24_hours`, and `hours`: runs in each clock hour, the oldest of 24 first."""
    with acting_as(workspace_id):
        now = fetch_value("select beckon_now()")
        rows = fetch_rows(_LAST_DAY, _build_last_day_parameters(workspace_id, automation_ids, now))
    current_hour = int(now.timestamp()) // 3600
    last_day = {}
    for row in rows:
        hours = build_hourly_counts(current_hour, row["hourly_runs"], row["newest_run_hour"])
        last_day[row["id"]] = {"last24_hours": sum(hours) + row["first_hour"], "hours": hours}
    return last_day


def explain_last_day() -> list[Row]:
    """Return the query plan of `fetch_last_day`, line by line."""
    return fetch_rows(f"explain {_LAST_DAY}", _build_last_day_parameters(NIL_UUID, [NIL_UUID], clock.now()))


def _build_last_day_parameters(workspace_id: str, automation_ids: Sequence[str], now: datetime) -> dict[str, object]:
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    return {
        "workspace": workspace_id,
        "ids": list(automation_ids),
        "begins": now - timedelta(hours=24),
        "first_whole": this_hour - timedelta(hours=23),
    }


def fetch_page(
    workspace_id: str,
    automation_id: str,
    *,
    limit: int,
    before: tuple[datetime, str] | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Row]:
    """Return at most `limit` runs, newest first, older than `before` (its time and id): `id`, `contact_id`,
    `contact_name`, `execution_id`, `kind`, `at`. `until` is exclusive."""
    filters: list[tuple[str, object]] = [("r.kind = %s", kind), ("r.at >= %s", since), ("r.at < %s", until)]
    if before is not None:
        # The time also separately, because the planner prunes partitions only by that condition.
        filters += [("r.at <= %s", before[0]), ("(r.at, r.id) < (%s, %s)", before)]
    newest = min(moment for moment in (clock.now(), until, before and before[0]) if moment)
    recent = [("r.at >= %s", newest - _RECENT_WINDOW), ("r.at < %s", newest + _CLOCK_SKEW)]
    with acting_as(workspace_id):
        rows = _fetch_page(workspace_id, automation_id, limit, [*filters, *recent])
        return rows if len(rows) == limit else _fetch_page(workspace_id, automation_id, limit, filters)


def _fetch_page(workspace_id: str, automation_id: str, limit: int, filters: Sequence[tuple[str, object]]) -> list[Row]:
    conditions = ["r.workspace_id = %s", "r.automation_id = %s"]
    parameters: list[object] = [workspace_id, automation_id]
    for condition, value in filters:
        if value is not None:
            conditions.append(condition)
            parameters += value if isinstance(value, tuple) else [value]
    return fetch_rows(
        f"""
        with page as materialized (
            select r.id, r.contact_id, r.execution_id, r.kind, r.at from automation_runs r
            where {" and ".join(conditions)} order by r.at desc, r.id desc limit %s
        )
        select p.*, e.id is not null as has_execution,
            coalesce(nullif(concat_ws(' ', c.first_name, c.last_name), ''), c.username, c.email, c.phone)
                as contact_name
        from page p left join contacts c on c.id = p.contact_id left join executions e on e.id = p.execution_id
        order by p.at desc, p.id desc
        """,
        [*parameters, limit],
    )


def fetch_series(
    workspace_id: str, automation_id: str, by: str, since: datetime, until: datetime, kind: str | None = None
) -> list[Row]:
    """Return the runs of every hour or day (in UTC) from that of `since` up to `until`, including empty ones: `at` (its
    start), `count`, and `kinds` (the count of each kind)."""
    with acting_as(workspace_id):
        return fetch_rows(
            """
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
            """,
            {
                "by": by, "since": since, "until": until, "earliest": since - timedelta(days=1), "kind": kind,
                "workspace": workspace_id, "automation": automation_id,
            },
        )  # fmt: skip
