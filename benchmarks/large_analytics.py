"""The counts of Analytics for the large database: its month of executions three times, so that 90 days are full, with
times in twenty buckets, and playbooks with devices, pages and triggers.

The tallies are those that the scheduler would write, generated from the counted rows: their number, on which the
response times depend, is that of ten million executions in 90 days and more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import lists
import psycopg2

import clock
from models.checks import analytics_tallies
from models.reports import analytics_executions, analytics_messages, analytics_steps, analytics_summary
from models.reports.analytics_filters import AnalyticsFilters

#: Of an answer about 90 days.
LIMIT_MS = 200.0
ZONES = ("Europe/Rome", "Asia/Kolkata")

#: A playbook's hour: 40 pages, 3 devices, 3 triggers.
_PLAYBOOKS = """
insert into analytics_tallies
select %(workspace)s, 'executions', d.dimension, s.span, a.id, s.at, true, d.value, status, -1, s.weight
from (
    (select id from automations order by id limit 5) union all select '00000000-0000-0000-0000-000000000000'::uuid
) a
cross join (
    select 'hour' as span, at, 3 as weight from generate_series(%(since)s, %(until)s, interval '1 hour') at
    union all select 'day', at, 72 from generate_series(%(since)s, %(until)s, interval '1 day') at
) s
cross join (
    select 'page' as dimension, '/page-' || n as value from generate_series(1, 40) n
    union all select 'device', unnest(array['mobile', 'desktop', 'tablet'])
    union all select 'trigger', unnest(array['Scroll Depth', 'UTM Parameters', 'Exit Intent'])
) d
cross join unnest(array['succeeded', 'failed']) status
on conflict do nothing
"""
_SPREAD = """
insert into analytics_tallies as t
select workspace_id, subject, dimension, span, automation_id, at, tracked, value, status, bucket + n, 1 + count / 20
from analytics_tallies cross join generate_series(-10, 9) n
where bucket > 20 and n <> 0
on conflict do nothing
"""
_REPEAT = """
insert into analytics_tallies
select workspace_id, subject, dimension, span, automation_id, at - interval '1 day' * days, tracked, value, status,
    bucket, count
from analytics_tallies, unnest(array[30, 60]) days
where not tracked and at > %(month)s
on conflict do nothing
"""


def prepare(url: str, workspace_id: str) -> None:
    """Count the rows and make the counts of 90 days, unless an earlier run did. Needs the service's connection."""
    now = clock.now()
    values: dict[str, Any] = {
        "workspace": workspace_id,
        "since": datetime.combine(now.date() - timedelta(days=90), time.min, UTC),
        "until": now,
        "month": now - timedelta(days=31),
    }
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select exists (select from analytics_tallies where at < %(month)s)", values)
        if cursor.fetchone() == (True,):
            return
        cursor.execute("set local role beckon_service; select recount_analytics()")
    while analytics_tallies.run_once()["added"]:
        pass
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("set local role beckon_service")
        for statement in (_SPREAD, _REPEAT, _PLAYBOOKS):
            cursor.execute(statement, values)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze analytics_tallies")
    connection.close()


def build_queries(workspace_id: str, automation_id: str) -> dict[str, tuple[lists.Query, float]]:
    """Build the answers about 90 days with their limit in ms, by their name in the table."""
    queries: dict[str, tuple[lists.Query, float]] = {}
    for zone in ZONES:
        filters = _build_filters(zone)
        for name, query in _list_answers(workspace_id, automation_id, filters).items():
            queries[f"Analytics, {zone}: {name}"] = (query, LIMIT_MS)
    return queries


def _build_filters(zone: str) -> AnalyticsFilters:
    until = clock.now()
    midnight = datetime.combine(until.astimezone(ZoneInfo(zone)).date(), time.min, ZoneInfo(zone))
    return AnalyticsFilters((midnight - timedelta(days=89)).astimezone(UTC), until, zone)


def _list_answers(workspace_id: str, automation_id: str, filters: AnalyticsFilters) -> dict[str, Callable[[], object]]:
    own = replace(filters, automation_id=automation_id)
    return {
        "totals": partial(analytics_executions.fetch_totals, workspace_id, filters),
        "days": partial(analytics_executions.fetch_timeline, workspace_id, filters, "day"),
        "hours": partial(analytics_executions.fetch_timeline, workspace_id, filters, "hour"),
        "hours of one": partial(analytics_executions.fetch_timeline, workspace_id, own, "hour"),
        "days of a device": partial(
            analytics_executions.fetch_timeline, workspace_id, replace(filters, device="mobile"), "day"
        ),
        "days of a page": partial(
            analytics_executions.fetch_timeline, workspace_id, replace(filters, page="/page-7"), "day"
        ),
        "days of a trigger": partial(
            analytics_executions.fetch_timeline, workspace_id, replace(filters, trigger="contact.created"), "day"
        ),
        "days of a channel": partial(
            analytics_executions.fetch_timeline, workspace_id, replace(filters, channel="email"), "day"
        ),
        "days of a status": partial(
            analytics_executions.fetch_timeline, workspace_id, replace(filters, status="failed"), "day"
        ),
        "by device": partial(analytics_executions.fetch_breakdown, workspace_id, filters, "device"),
        "by page": partial(analytics_executions.fetch_breakdown, workspace_id, filters, "page"),
        "by trigger": partial(analytics_executions.fetch_breakdown, workspace_id, filters, "trigger"),
        "top, compared": partial(analytics_executions.fetch_top, workspace_id, filters, filters.build_previous()),
        "summary": partial(analytics_summary.fetch_summary, workspace_id, filters),
        "funnel": partial(analytics_steps.fetch_funnel, workspace_id, automation_id, filters),
        "actions": partial(analytics_steps.fetch_actions, workspace_id, filters),
        "messages": partial(analytics_messages.fetch_messages, workspace_id, filters),
    }
