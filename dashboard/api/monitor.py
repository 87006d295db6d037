"""The live monitor over HTTP: a stream of snapshots, and one of them as JSON."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import flask

import clock
from dashboard.access import Caller
from dashboard.answers import success
from dashboard.api import shapes
from dashboard.api.shapes import Moment, QueryTruth, moment_of
from dashboard.bodies import Body
from dashboard.errors import Refusal, invalid, not_there
from dashboard.live import snapshot, streams
from dashboard.live.feeds import Feeds, Full
from dashboard.live.permits import Grant, Permits
from dashboard.resource import Resource
from models.reports.monitor_past import REACH
from rules.problems import Problem

monitor = Resource("monitor")

#: Seconds after which somebody who found no place may ask again.
ASK_AGAIN_SECONDS = 5
#: How far a browser's clock may be from ours.
_SLACK = timedelta(minutes=1)

_STAGE = shapes.record(
    stage=shapes.TEXT, title=shapes.TEXT, count=shapes.COUNT, averageSeconds=shapes.maybe(shapes.NUMBER),
    says=shapes.TEXT, trend=shapes.listing(shapes.COUNT),
)  # fmt: skip
_CONTACT = shapes.record(
    executionId=shapes.ID, contactId=shapes.maybe(shapes.ID), name=shapes.TEXT, test=shapes.BOOL, status=shapes.TEXT,
    inMotion=shapes.BOOL,
    stage=shapes.TEXT, title=shapes.TEXT, stageSince=shapes.TIME, secondsInStage=shapes.COUNT,
    sendsInSeconds=shapes.maybe(shapes.COUNT), messagePreview=shapes.maybe(shapes.TEXT),
    generationMs=shapes.maybe(shapes.COUNT), error=shapes.maybe(shapes.TEXT), says=shapes.TEXT, next=shapes.TEXT,
    followUp=shapes.record(count=shapes.COUNT, max=shapes.COUNT, nextCheckAt=shapes.maybe(shapes.TIME)),
)  # fmt: skip
_SNAPSHOT = shapes.record(
    at=shapes.TIME,
    automation=shapes.record(
        id=shapes.ID, name=shapes.TEXT, enabled=shapes.BOOL, version=shapes.COUNT, paused=shapes.BOOL
    ),
    stages=shapes.listing(_STAGE),
    contacts=shapes.listing(_CONTACT),
    totals=shapes.record(
        active=shapes.COUNT, last24Hours=shapes.COUNT, sent=shapes.COUNT, skipped=shapes.COUNT, failed=shapes.COUNT,
        unknown=shapes.COUNT, says=shapes.TEXT,
    ),
    skipped=shapes.listing(
        shapes.record(rule=shapes.TEXT, title=shapes.TEXT, words=shapes.TEXT, count=shapes.COUNT)
    ),
    backlog=shapes.record(
        count=shapes.COUNT, aMinute=shapes.NUMBER, measuredSeconds=shapes.COUNT,
        seconds=shapes.maybe(shapes.NUMBER), title=shapes.TEXT, words=shapes.TEXT,
    ),
)  # fmt: skip


class Watched(Body):
    """Which executions are asked for: tests alone, none of them, or all."""

    test: QueryTruth | None = None


@monitor.api(
    "GET", "/api/ai-automations/{automation_id}/monitor", permission="read", query=Watched, answer={}, stream=True
)
def watch_monitor(call: Caller, automation_id: str, query: Watched) -> Any:
    """Watch where an automation's contacts stand: a snapshot at once, then every two seconds, for a minute."""
    feeds: Feeds = flask.current_app.extensions["feeds"]
    permits: Permits = flask.current_app.extensions["permits"]
    permit = permits.issue(Grant(call.credential, call.workspace_id, "read"))
    try:
        stream = feeds.open((call.workspace_id, automation_id, query.test), permit)
    except Full:
        raise Refusal(503, "As many watch as may; ask again in a moment.", retry_after=ASK_AGAIN_SECONDS) from None
    if stream is None:
        raise not_there("There is no automation by that id.")
    return streams.answer(stream)


class Looked(Watched):
    """The same, and at which moment; now where none is given."""

    at: Moment | None = None


@monitor.api(
    "POST",
    "/api/ai-automations/{automation_id}/monitor",
    permission="read",
    query=Looked,
    answer={"snapshot": _SNAPSHOT},
)
def show_monitor(call: Caller, automation_id: str, query: Looked) -> Any:
    """Show where an automation's contacts stand now, or stood at a moment of the last six hours."""
    key = (call.workspace_id, automation_id, query.test)
    found = snapshot.read(key) if query.at is None else snapshot.read_past(key, _within_reach(query.at))
    if found is None:
        raise not_there("There is no automation by that id.")
    return success(snapshot=found)


def _within_reach(text: str) -> datetime:
    at, now = moment_of(text), clock.now()
    if not now - REACH - _SLACK <= at <= now + _SLACK:
        raise invalid([Problem("at", "must be a moment of the last six hours")])
    return min(at, now)
