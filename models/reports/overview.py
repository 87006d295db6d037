"""What the overview reads beside the summary: failures over time, stuck contacts, next retries and recent changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypedDict

import peewee
from peewee import JOIN, SQL, fn

from models.database import acting_as
from models.execution_filters import ExecutionFilters, build_lowest_id
from models.expressions import is_any
from models.queries import count, fetch
from models.reports.counts import COUNTS
from models.stuck import select_stuck
from models.tables import AuditEntry, Automation, Contact, Execution, Message
from models.tables.workspaces import AuditActorKind
from rules.errors import BY_CLASS
from rules.language import AutomationType
from rules.stages import Status, WaitingFor

_COUNT = fn.count(SQL("*"))


class PointRow(TypedDict):
    """How many executions failed in the interval that begins at `at`."""

    at: datetime
    count: int


class StuckReason(TypedDict):
    """How many executions are stuck in a status, and what they wait for."""

    status: Status
    waiting_for: WaitingFor | None
    count: int


class StuckRow(TypedDict):
    """A stuck execution, with the provider that it waits for."""

    id: str
    contact_name: str | None
    automation_name: str
    status: Status
    waiting_for: WaitingFor | None
    provider: str | None
    since: datetime


class RetryGroup(TypedDict):
    """Executions that are retried after the same error, and when the first of them is."""

    error_class: str
    error_code: str | None
    attempt: int
    count: int
    at: datetime


class LookUpGroup(TypedDict):
    """Messages of unknown outcome that are looked up at one provider, and when the first of them is."""

    provider: str
    look_ups: int
    count: int
    at: datetime


class ChangeRow(TypedDict):
    """An entry of the audit log."""

    id: str
    actor_kind: AuditActorKind
    actor_name: str
    action: str
    object_kind: str
    object_id: str
    detail: dict[str, Any]
    at: datetime


class AutomationName(TypedDict):
    """An automation's name and type."""

    id: str
    name: str
    type: AutomationType


class _FailedRow(TypedDict):
    automation_id: str
    count: int


def list_failed(workspace_id: str, since: datetime, step: timedelta) -> list[PointRow]:
    """Return the executions that failed since a moment, in intervals of `step`; unknown outcomes are not failures.

    An index-only scan over the workspace's failed executions.
    """
    at = fn.date_bin(step, Execution.finished_at, SQL("'epoch'")).alias("at")
    filters = replace(COUNTS["failed"].filters, finished_since=since)
    with acting_as(workspace_id):
        query = Execution.select(at, _COUNT.alias("count")).where(filters.build_condition())
        return fetch(PointRow, query.group_by(SQL("1")))


def count_failed_by_automation(workspace_id: str, since: datetime, ids: Sequence[str]) -> dict[str, int]:
    """Return how many executions of these automations failed since a moment."""
    filters = replace(COUNTS["failed"].filters, finished_since=since)
    with acting_as(workspace_id):
        query = Execution.select(Execution.automation_id, _COUNT.alias("count")).where(
            filters.build_condition(), is_any(Execution.automation_id, ids)
        )
        rows = fetch(_FailedRow, query.group_by(Execution.automation_id))
    return {row["automation_id"]: row["count"] for row in rows}


def list_automation_names(workspace_id: str, ids: Sequence[str]) -> dict[str, AutomationName]:
    """Return the names and types of automations, deleted ones included, by id."""
    query = Automation.select(Automation.id, Automation.name, Automation.type).where(
        Automation.workspace_id == workspace_id, is_any(Automation.id, ids)
    )
    with acting_as(workspace_id):
        return {row["id"]: row for row in fetch(AutomationName, query)}


def count_filtered(workspace_id: str, filters: ExecutionFilters) -> int:
    """Return how many executions filters select."""
    with acting_as(workspace_id):
        return count(Execution.select().where(filters.build_condition()))


def count_stuck(workspace_id: str) -> list[StuckReason]:
    """Count the stuck executions by reason, without tests."""
    stuck = select_stuck(Execution.status, Execution.waiting_for, Execution.test).alias("stuck")
    groups = (stuck.c.status, stuck.c.waiting_for)
    with acting_as(workspace_id):
        return fetch(
            StuckReason,
            peewee.Select([stuck], [*groups, _COUNT.alias("count")]).where(~stuck.c.test).group_by(*groups),
        )


def list_stuck(workspace_id: str, limit: int) -> list[StuckRow]:
    """Return the executions that are stuck the longest, without tests."""
    columns = (
        Execution.id, Execution.contact_id, Execution.automation_id, Execution.status, Execution.waiting_for,
        Execution.test,
    )  # fmt: skip
    stuck = select_stuck(*columns).alias("stuck")
    longest = (
        peewee.Select([stuck], [SQL("*")])
        .where(~stuck.c.test)
        .order_by(stuck.c.since, stuck.c.id)
        .limit(limit)
        .alias("longest")
    )
    provider = (
        Message.select(Message.provider)
        .where(Message.execution_id == longest.c.id, Message.status.in_(("pending", "outcome_unknown")))
        .limit(1)
    )
    name = fn.coalesce(
        fn.nullif(fn.trim(fn.concat_ws(" ", Contact.first_name, Contact.last_name)), ""),
        Contact.username, Contact.email, Contact.phone, Contact.external_id,
    )  # fmt: skip
    query = (
        peewee.Select(
            [longest],
            [
                longest.c.id, name.alias("contact_name"), Automation.name.alias("automation_name"), longest.c.status,
                longest.c.waiting_for, provider.alias("provider"), longest.c.since,
            ],
        )
        .join(Automation, on=Automation.id == longest.c.automation_id)
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == longest.c.contact_id)
        .order_by(longest.c.since, longest.c.id)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(StuckRow, query)


def list_next_retries(workspace_id: str, limit: int) -> list[RetryGroup]:
    """Return the next automatic retries, grouped by error and attempt, soonest first; without tests.

    The errors' index is read from the retryable classes alone.
    """
    groups = (Execution.error_class, Execution.error_code, Execution.attempt)
    query = (
        Execution.select(*groups, _COUNT.alias("count"), fn.min(Execution.next_retry_at).alias("at"))
        .where(
            Execution.workspace_id == workspace_id,
            Execution.error_class.in_([name for name, error in BY_CLASS.items() if error.retryable]),
            Execution.status == "waiting",
            Execution.waiting_for == "retry",
            Execution.next_retry_at.is_null(False),
            ~Execution.test,
        )
        .group_by(*groups)
        .order_by(SQL("5"))
        .limit(limit)
    )
    with acting_as(workspace_id):
        return fetch(RetryGroup, query)


def list_next_look_ups(workspace_id: str) -> list[LookUpGroup]:
    """Return the next look-ups of messages with an unknown outcome, by provider; without tests."""
    groups = (Message.provider, Message.look_ups)
    query = (
        Message.select(*groups, _COUNT.alias("count"), fn.min(Message.look_up_at).alias("at"))
        .where(
            Message.workspace_id == workspace_id,
            Message.status == "outcome_unknown",
            Message.look_up_at.is_null(False),
            ~Message.test,
        )
        .group_by(*groups)
        .order_by(SQL("4"))
    )
    with acting_as(workspace_id):
        return fetch(LookUpGroup, query)


def list_changes(workspace_id: str, actions: Sequence[str], since: datetime, limit: int) -> list[ChangeRow]:
    """Return the newest entries of the audit log with these actions, newest first."""
    query = AuditEntry.select(
        AuditEntry.id, AuditEntry.actor_kind, AuditEntry.actor_name, AuditEntry.action,
        AuditEntry.object_kind, AuditEntry.object_id, AuditEntry.detail, AuditEntry.at,
    ).where(
        AuditEntry.workspace_id == workspace_id,
        AuditEntry.id >= build_lowest_id(since),
        AuditEntry.at >= since,
        AuditEntry.action.in_(list(actions)),
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(ChangeRow, query.order_by(AuditEntry.id.desc()).limit(limit))
