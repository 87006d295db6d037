"""The counts above every page: each equals the number of executions that its filters list, without tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

import peewee
from peewee import SQL, fn

from models.database import acting_as
from models.queries import fetch_first, fetch_value
from models.reports.filters import ExecutionFilters
from models.tables import Execution, StageHistory

_COUNT = fn.count(SQL("*")).alias("count")

PENDING = ExecutionFilters(status="pending", test=False)
RUNNING = ExecutionFilters(status="running", test=False)
WAITING = ExecutionFilters(status="waiting", test=False)
REVIEW = ExecutionFilters(status="waiting", test=False, review=True)
FAILED = ExecutionFilters(status="failed", test=False, outcome_unknown=False)
UNKNOWN = ExecutionFilters(status="failed", test=False, outcome_unknown=True)


class SkipRuleCount(TypedDict):
    """How many executions a rule skipped."""

    rule: str
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
    #: Of the waiting ones, those with a message in review.
    review: int = 0


def build_skipped_filters(midnight: datetime) -> ExecutionFilters:
    """Return the filters of the `skipped` count."""
    return ExecutionFilters(status="skipped", test=False, since=midnight)


def build_sent_filters(midnight: datetime) -> ExecutionFilters:
    """Return the filters of the `sent` count."""
    return ExecutionFilters(test=False, sent_since=midnight)


class _CountRow(TypedDict):
    count: int
    at: datetime | None


def fetch_summary(workspace_id: str, midnight: datetime) -> Summary:
    """Return the current counts, for the workspace's day that began at `midnight`."""
    skipped_filters = build_skipped_filters(midnight)
    with acting_as(workspace_id):
        pending = _count(PENDING, fn.min(Execution.created_at))
        running = _count(RUNNING)
        waiting = _count(WAITING, fn.min(Execution.due_at))
        review = _count(REVIEW)
        failed = _count(FAILED, fn.max(Execution.finished_at))
        unknown = _count(UNKNOWN)
        skipped = _count(skipped_filters)
        top_skip_rule = _find_top_skip_rule(skipped_filters) if skipped["count"] else None
        sent = _count_sent(workspace_id, midnight)
    return Summary(
        pending["count"], pending["at"], running["count"], waiting["count"], waiting["at"], sent,
        failed["count"], failed["at"], skipped["count"], top_skip_rule, unknown["count"],
        review["count"],
    )  # fmt: skip


def _count(filters: ExecutionFilters, at: Any = None) -> _CountRow:
    """Count the executions that the filters list, with a time computed of them."""
    columns = [_COUNT, (SQL("null") if at is None else at).alias("at")]
    row = fetch_first(_CountRow, Execution.select(*columns).where(filters.build_condition()))
    assert row is not None
    return row


def _find_top_skip_rule(filters: ExecutionFilters) -> SkipRuleCount | None:
    query = (
        Execution.select(Execution.skipped_rule.alias("rule"), _COUNT)
        .where(filters.build_condition())
        .group_by(Execution.skipped_rule)
        .order_by(SQL("2 desc, 1"))
        .limit(1)
    )
    return fetch_first(SkipRuleCount, query)


def _count_sent(workspace_id: str, midnight: datetime) -> int:
    query = StageHistory.select(StageHistory.execution_id).where(
        StageHistory.workspace_id == workspace_id,
        StageHistory.entered_at >= midnight,
        StageHistory.stage == "sent",
        ~StageHistory.test,
    )
    sent = query.distinct().alias("sent")
    return int(fetch_value(peewee.Select([sent], [_COUNT])))
