"""What failed and what is unknown, of one workspace and without tests, for the health page."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from peewee import JOIN, SQL, fn

from models.database import acting_as
from models.expressions import is_distinct_from, now
from models.queries import fetch, fetch_first
from models.tables import Execution, Message

#: Groups of failures to return at most.
MAX_GROUPS = 50


class FailureGroup(TypedDict):
    """Failed executions of one error class, provider and code within 24 hours."""

    error_class: str
    provider: str | None
    code: str | None
    count: int
    first_at: datetime
    last_at: datetime


class UnknownCounts(TypedDict):
    """Messages of unknown outcome: those that need a decision, since when, and those that are being checked."""

    undecided: int
    undecided_since: datetime | None
    checking: int


def fetch_failure_groups(workspace_id: str) -> list[FailureGroup]:
    """Group a workspace's failures of the last 24 hours, without unknown outcomes, by error class, provider and code,
    the most frequent first."""
    is_failed_message = (
        (Message.execution_id == Execution.id)
        & (Message.step_id == Execution.failed_step)
        & (Message.round == Execution.round)
    )
    count = fn.count(SQL("*"))
    query = (
        Execution.select(
            Execution.error_class, Message.provider, Execution.error_code.alias("code"), count.alias("count"),
            fn.min(Execution.finished_at).alias("first_at"), fn.max(Execution.finished_at).alias("last_at"),
        )
        .join(Message, JOIN.LEFT_OUTER, on=is_failed_message)
        .where(
            Execution.workspace_id == workspace_id,
            Execution.status == "failed",
            is_distinct_from(Execution.error_class, "unknown_outcome"),
            ~Execution.test,
            Execution.finished_at > now() - SQL("interval '24 hours'"),
        )
        .group_by(Execution.error_class, Message.provider, Execution.error_code)
        .order_by(count.desc(), Execution.error_class)
        .limit(MAX_GROUPS)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(FailureGroup, query)


def count_unknown_outcomes(workspace_id: str) -> UnknownCounts:
    """Count a workspace's messages of unknown outcome."""
    is_undecided = Message.look_up_at.is_null()
    query = Message.select(
        fn.count(SQL("*")).filter(is_undecided).alias("undecided"),
        fn.min(Message.sending_at).filter(is_undecided).alias("undecided_since"),
        fn.count(SQL("*")).filter(~is_undecided).alias("checking"),
    ).where(Message.workspace_id == workspace_id, Message.status == "outcome_unknown", ~Message.test)
    with acting_as(workspace_id):
        row = fetch_first(UnknownCounts, query)
    assert row is not None
    return row
