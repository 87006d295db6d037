"""The live monitor over HTTP: a stream of snapshots, and one of them as JSON."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from datetime import datetime, timedelta
from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import require_automation
from dashboard.api.schemas import Moment, QueryBool, parse_moment
from dashboard.bodies import Body
from dashboard.errors import ProblemError, invalid_request, not_found
from dashboard.live import counts, snapshot, streams
from dashboard.live.counts import CountsKey
from dashboard.live.feeds import Feeds, FeedTiming, FeedUnavailable
from dashboard.live.stream_access import Grant, StreamAccessChecker
from dashboard.resource import Resource
from dashboard.responses import success
from models.reports import monitor_moves
from models.reports.monitor_history import MAX_LOOKBACK
from rules.problems import Problem

monitor = Resource("monitor")

#: Seconds after which a rejected client may retry.
RETRY_AFTER_SECONDS = 5
#: Tolerated difference between the clocks of browser and server.
_CLOCK_SKEW = timedelta(minutes=1)

_STAGE = schemas.record(
    stage=schemas.TEXT, title=schemas.TEXT, count=schemas.COUNT, averageSeconds=schemas.nullable(schemas.NUMBER),
    says=schemas.TEXT, trend=schemas.array_of(schemas.COUNT),
)  # fmt: skip
_CONTACT = schemas.record(
    executionId=schemas.ID, contactId=schemas.nullable(schemas.ID), name=schemas.TEXT, test=schemas.BOOL,
    demo=schemas.BOOL,
    status=schemas.TEXT, inMotion=schemas.BOOL,
    stage=schemas.TEXT, title=schemas.TEXT, stageSince=schemas.TIME, secondsInStage=schemas.COUNT,
    sendsInSeconds=schemas.nullable(schemas.COUNT), messagePreview=schemas.nullable(schemas.TEXT),
    generationMs=schemas.nullable(schemas.COUNT), error=schemas.nullable(schemas.TEXT), says=schemas.TEXT,
    next=schemas.TEXT,
    followUp=schemas.record(count=schemas.COUNT, max=schemas.COUNT, nextCheckAt=schemas.nullable(schemas.TIME)),
)  # fmt: skip
_SNAPSHOT = schemas.record(
    at=schemas.TIME,
    automation=schemas.record(
        id=schemas.ID, name=schemas.TEXT, enabled=schemas.BOOL, version=schemas.COUNT, paused=schemas.BOOL
    ),
    stages=schemas.array_of(_STAGE),
    contacts=schemas.array_of(_CONTACT),
    totals=schemas.record(
        active=schemas.COUNT, last24Hours=schemas.COUNT, sent=schemas.COUNT, skipped=schemas.COUNT,
        failed=schemas.COUNT, unknown=schemas.COUNT, says=schemas.TEXT,
    ),
    skipped=schemas.array_of(
        schemas.record(rule=schemas.TEXT, title=schemas.TEXT, words=schemas.TEXT, count=schemas.COUNT)
    ),
    backlog=schemas.record(
        count=schemas.COUNT, aMinute=schemas.NUMBER, measuredSeconds=schemas.COUNT,
        seconds=schemas.nullable(schemas.NUMBER), title=schemas.TEXT, words=schemas.TEXT,
    ),
)  # fmt: skip


_COUNTS = schemas.record(automations=schemas.array_of(schemas.record(id=schemas.ID, successText=schemas.TEXT)))


class MonitorQuery(Body):
    """Which executions: only tests, no tests, or all."""

    test: QueryBool | None = None


@monitor.api(
    "GET",
    "/api/ai-automations/{automation_id}/monitor",
    permission="read",
    query=MonitorQuery,
    response=_SNAPSHOT,
    stream=True,
)
def watch_monitor(call: Caller, automation_id: str, query: MonitorQuery) -> Any:
    """Stream the stages of an automation's contacts: a snapshot at once, then every two seconds for one minute."""
    stream = _open_stream(call, (call.workspace_id, automation_id, query.test))
    if stream is None:
        raise not_found("There is no automation with that id.")
    return streams.build_response(stream)


@monitor.api("GET", "/api/automations/counts", permission="read", response=_COUNTS, stream=True)
def watch_counts(call: Caller) -> Any:
    """Stream the counts of the automations that executed lately, whenever one changes, for one minute."""
    stream = _open_stream(call, CountsKey(call.workspace_id), counts.TIMING)
    assert stream is not None
    return streams.build_response(stream)


def _open_stream(call: Caller, key: Hashable, timing: FeedTiming | None = None) -> Iterator[bytes] | None:
    """A stream that ends when the caller loses access. Raises `ProblemError` 503 where too many are open."""
    feeds: Feeds = flask.current_app.extensions["feeds"]
    checker: StreamAccessChecker = flask.current_app.extensions["stream_access"]
    access = checker.watch(Grant(call.credential, call.workspace_id, "read"))
    try:
        return feeds.open(key, access, timing)
    except FeedUnavailable:
        raise ProblemError(
            503, "Too many open streams. Retry in a few seconds.", retry_after=RETRY_AFTER_SECONDS
        ) from None


class SnapshotQuery(MonitorQuery):
    """Which executions, and the time of the snapshot; by default now."""

    at: Moment | None = None


@monitor.api(
    "POST",
    "/api/ai-automations/{automation_id}/monitor",
    permission="read",
    query=SnapshotQuery,
    response={"snapshot": _SNAPSHOT},
)
def show_monitor(call: Caller, automation_id: str, query: SnapshotQuery) -> Any:
    """Show the stages of an automation's contacts, now or at a time in the last six hours."""
    key = (call.workspace_id, automation_id, query.test)
    payload = snapshot.read(key) if query.at is None else snapshot.read_at(key, _parse_recent_moment(query.at))
    if payload is None:
        raise not_found("There is no automation with that id.")
    return success(snapshot=payload)


@monitor.api(
    "GET",
    "/api/ai-automations/{automation_id}/monitor/moves",
    permission="read",
    query=MonitorQuery,
    response={"moves": schemas.array_of(schemas.TIME)},
)
def list_moves(call: Caller, automation_id: str, query: MonitorQuery) -> Any:
    """List the times at which contacts changed stage in the last six hours, at most the newest 1,000."""
    automation = require_automation(call.workspace_id, automation_id)
    times = monitor_moves.list_times(call.workspace_id, automation["id"], test=query.test)
    return success(moves=[at.isoformat(timespec="milliseconds").replace("+00:00", "Z") for at in times])


def _parse_recent_moment(text: str) -> datetime:
    at, now = parse_moment(text), clock.now()
    if not now - MAX_LOOKBACK - _CLOCK_SKEW <= at <= now + _CLOCK_SKEW:
        raise invalid_request([Problem("at", "must be a time in the last six hours")])
    return min(at, now)
