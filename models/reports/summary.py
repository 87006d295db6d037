"""The counts above every page: each equals the number of executions that its filters list, without tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict

import peewee
from peewee import SQL, fn

import clock
from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.queries import fetch_first, fetch_value
from models.recent_reads import SlowReads
from models.reports.counts import COUNTS
from models.tables import Execution, Message, StageHistory

_COUNT = fn.count(SQL("*"))
_WEEK = timedelta(days=7)


class SkipRuleCount(TypedDict):
    """How many executions a rule skipped."""

    rule: str
    count: int


class NextLookUp(TypedDict):
    """How many messages of unknown outcome are being reconciled, and the first one's provider and time."""

    provider: str
    at: datetime
    count: int


@dataclass(frozen=True)
class Summary:
    """Counts of the workspace's executions. `skipped` counts those accepted since midnight, `sent` those with a message
    sent since midnight; the others count all."""

    pending: int
    #: When the oldest pending execution was accepted.
    oldest_at: datetime | None
    running: int
    waiting: int
    #: When the first waiting execution resumes automatically.
    next_at: datetime | None
    sent: int
    failed: int
    failed_at: datetime | None
    skipped: int
    #: The rule that skipped the most.
    skipped_mostly: SkipRuleCount | None = field(default=None)
    unknown: int = 0
    #: Of the unknown ones, those that are being reconciled.
    look_up: NextLookUp | None = field(default=None)
    #: Of the waiting ones, those with a message in review.
    review: int = 0
    #: Executions with a message sent on the same weekday last week, until this time of day.
    sent_last_week: int = 0

    @property
    def undecided(self) -> int:
        """Of the unknown ones, those that are looked up no more: an operator must decide."""
        return max(0, self.unknown - (self.look_up["count"] if self.look_up else 0))


class _CountRow(TypedDict):
    count: int
    at: datetime | None


_summaries: SlowReads[Summary] = SlowReads()


def fetch_summary(workspace_id: str, midnight: datetime) -> Summary:
    """Return the counts, for the workspace's day that began at `midnight`: the current ones, or, where counting takes
    long, those of some seconds ago."""
    return _summaries.get((workspace_id, midnight), lambda: count_now(workspace_id, midnight))


def count_now(workspace_id: str, midnight: datetime) -> Summary:
    """Return the current counts, however long counting takes."""
    filters = {name: definition.build_filters(midnight) for name, definition in COUNTS.items()}
    with acting_as(workspace_id):
        pending = _count(filters["pending"], fn.min(Execution.created_at))
        running = _count(filters["running"])
        waiting = _count(filters["waiting"], fn.min(Execution.due_at))
        review = _count(filters["review"])
        failed = _count(filters["failed"], fn.max(Execution.finished_at))
        unknown = _count(filters["unknown"])
        look_up = _find_next_look_up(filters["unknown"]) if unknown["count"] else None
        skipped = _count(filters["skipped_today"])
        top_skip_rule = _find_top_skip_rule(filters["skipped_today"]) if skipped["count"] else None
        sent = count_sent(workspace_id, midnight, None)
        sent_last_week = count_sent(workspace_id, midnight - _WEEK, clock.now() - _WEEK)
    return Summary(
        pending["count"], pending["at"], running["count"], waiting["count"], waiting["at"], sent,
        failed["count"], failed["at"], skipped["count"], top_skip_rule, unknown["count"],
        look_up, review["count"], sent_last_week,
    )  # fmt: skip


def count_held(workspace_id: str, pause: str) -> int:
    """Count the executions that wait for the end of a pause, named as in `models.holds`."""
    with acting_as(workspace_id):
        return _count(ExecutionFilters(held_by=pause, test=False))["count"]


def _count(filters: ExecutionFilters, at: Any = None) -> _CountRow:
    """Count the executions that the filters list, with a time computed of them."""
    columns = [_COUNT.alias("count"), (SQL("null") if at is None else at).alias("at")]
    row = fetch_first(_CountRow, Execution.select(*columns).where(filters.build_condition()))
    assert row is not None
    return row


def _find_top_skip_rule(filters: ExecutionFilters) -> SkipRuleCount | None:
    query = (
        Execution.select(Execution.skipped_rule.alias("rule"), _COUNT.alias("count"))
        .where(filters.build_condition())
        .group_by(Execution.skipped_rule)
        .order_by(SQL("2 desc, 1"))
        .limit(1)
    )
    return fetch_first(SkipRuleCount, query)


def _find_next_look_up(filters: ExecutionFilters) -> NextLookUp | None:
    query = (
        Execution.select(Message.provider, Message.look_up_at.alias("at"), _COUNT.over().alias("count"))
        .join(Message, on=Message.execution_id == Execution.id)
        .where(filters.build_condition(), Message.status == "outcome_unknown", Message.look_up_at.is_null(False))
        .order_by(Message.look_up_at)
        .limit(1)
    )
    return fetch_first(NextLookUp, query)


def count_sent(workspace_id: str, since: datetime, until: datetime | None) -> int:
    """Count the executions with a message sent in a period, without tests. The caller acts as the workspace."""
    query = StageHistory.select(StageHistory.execution_id).where(
        StageHistory.workspace_id == workspace_id,
        StageHistory.entered_at >= since,
        StageHistory.stage == "sent",
        ~StageHistory.test,
    )
    if until is not None:
        query = query.where(StageHistory.entered_at < until)
    sent = query.distinct().alias("sent")
    return int(fetch_value(peewee.Select([sent], [_COUNT])))


def count_sent_since(workspace_id: str, since: datetime) -> int:
    """Count the executions with a message sent since a moment, without tests."""
    with acting_as(workspace_id):
        return count_sent(workspace_id, since, None)
