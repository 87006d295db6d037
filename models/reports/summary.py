"""The counts above every page: each equals the number of executions that its filters list, without tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

import peewee
from peewee import JOIN, SQL, fn

from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.queries import fetch, fetch_first, fetch_value
from models.tables import Execution, Message, StageHistory
from rules.stages import Queue, WaitingFor

_COUNT = fn.count(SQL("*"))

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


class NextLookUp(TypedDict):
    """How many messages of unknown outcome are being reconciled, and the first one's provider and time."""

    provider: str
    at: datetime
    count: int


class PausedCount(TypedDict):
    """How many executions wait for the end of a pause or for credentials, by queue and their message's provider."""

    waiting_for: WaitingFor
    queue: Queue
    provider: str | None
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


def build_skipped_filters(midnight: datetime) -> ExecutionFilters:
    """Return the filters of the `skipped` count."""
    return ExecutionFilters(status="skipped", test=False, since=midnight)


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
        look_up = _find_next_look_up() if unknown["count"] else None
        skipped = _count(skipped_filters)
        top_skip_rule = _find_top_skip_rule(skipped_filters) if skipped["count"] else None
        sent = _count_sent(workspace_id, midnight)
    return Summary(
        pending["count"], pending["at"], running["count"], waiting["count"], waiting["at"], sent,
        failed["count"], failed["at"], skipped["count"], top_skip_rule, unknown["count"],
        look_up, review["count"],
    )  # fmt: skip


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


def _find_next_look_up() -> NextLookUp | None:
    query = (
        Execution.select(Message.provider, Message.look_up_at.alias("at"), _COUNT.over().alias("count"))
        .join(Message, on=Message.execution_id == Execution.id)
        .where(UNKNOWN.build_condition(), Message.status == "outcome_unknown", Message.look_up_at.is_null(False))
        .order_by(Message.look_up_at)
        .limit(1)
    )
    return fetch_first(NextLookUp, query)


def count_paused(workspace_id: str) -> list[PausedCount]:
    """Count the executions that wait for the end of a pause or for credentials, without tests."""
    groups = (Execution.waiting_for, Execution.queue, Message.provider)
    query = (
        Execution.select(*groups, _COUNT.alias("count"))
        .join(Message, JOIN.LEFT_OUTER, on=(Message.execution_id == Execution.id) & (Message.status == "pending"))
        .where(
            Execution.workspace_id == workspace_id,
            Execution.status == "waiting",
            Execution.waiting_for.in_(("pause", "configuration")),
            ~Execution.test,
        )
        .group_by(*groups)
    )
    with acting_as(workspace_id):
        return fetch(PausedCount, query)


def _count_sent(workspace_id: str, midnight: datetime) -> int:
    query = StageHistory.select(StageHistory.execution_id).where(
        StageHistory.workspace_id == workspace_id,
        StageHistory.entered_at >= midnight,
        StageHistory.stage == "sent",
        ~StageHistory.test,
    )
    sent = query.distinct().alias("sent")
    return int(fetch_value(peewee.Select([sent], [_COUNT])))
