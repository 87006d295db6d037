"""Filters of executions, the same for the list and for every bulk action."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import peewee

from models.expressions import acting_workspace, all_of, is_any, is_distinct_from
from models.failure_scope import FailureKind, build_failure_class, build_failure_scope, build_failure_text_condition
from models.holds import build_held_condition
from models.ids import is_id
from models.search import clean_query, find_matching_contacts
from models.stuck import build_stuck_condition
from models.tables import Automation, Execution, StageHistory
from rules.stages import IN_FLIGHT, WaitingFor

#: How far the time in an id may differ from the time on its row, because machines' clocks differ.
_CLOCK_SKEW = timedelta(minutes=10)
_FINAL_STAGES = ("completed", "failed", "skipped")

#: The values of `waiting_for` here: `provider` also stands for the wait for a provider that limits the rate.
WAITS: tuple[str, ...] = get_args(WaitingFor)
_WAITS_FOR_PROVIDER = ("provider", "rate_limit")
#: The value of `provider` and `code` for executions without one.
NONE = "none"


@dataclass(frozen=True)
class ExecutionFilters:
    """Optional filters, combined with AND.

    `since` and `until` (exclusive) bound the time the trigger was accepted; `q` is an execution's id or words in the
    contact's names and addresses; `sent_since` and `sent_until` (exclusive) bound the time of a sent message,
    `finished_since` and `finished_until` (exclusive) that of the end. `outcome_unknown`, `in_flight` and `review`
    select executions with an unknown outcome, unfinished ones and those with a message in review, or all others.
    `stuck` selects those that `models.stuck` defines, and `held_by` those that wait for the end of a pause
    (`models.holds`). `failure` selects what the page Failures lists: an error class is then the one of its groups,
    which counts an execution that waits for credentials as `configuration`, and `q` also matches the words of an error.
    `stage_until` is the latest time at which the current stage was entered.
    """

    automation_id: str | None = None
    status: str | None = None
    stage: str | None = None
    contact_id: str | None = None
    q: str | None = None
    error_class: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    test: bool | None = None
    sent_since: datetime | None = None
    outcome_unknown: bool | None = None
    in_flight: bool | None = None
    review: bool | None = None
    sent_until: datetime | None = None
    finished_since: datetime | None = None
    finished_until: datetime | None = None
    stuck: bool = False
    held_by: str | None = None
    provider: str | None = None
    code: str | None = None
    waiting_for: WaitingFor | None = None
    ids: Sequence[str] | None = None
    failure: FailureKind | None = None
    stage_until: datetime | None = None

    def build_condition(self) -> peewee.Expression:
        """Build the condition on `Execution` in the acting workspace."""
        conditions = [*self._build_flag_conditions(), *self._build_value_conditions()]
        if self.q:
            conditions.append(build_failure_text_condition(self.q) if self.failure else _build_text_condition(self.q))
        return all_of(Execution.workspace_id == acting_workspace(), *conditions)

    @property
    def words(self) -> str | None:
        """The text of `q` to search in contacts' names and addresses; None if there is none or it is an id."""
        return clean_query(self.q) if self.q and not is_id(self.q) and not self.failure else None

    def _build_flag_conditions(self) -> list[peewee.Expression]:
        is_in_flight = self.in_flight or (self.stage is not None and self.stage not in _FINAL_STAGES)
        conditions = [_build_in_flight()] if is_in_flight and not self.status else []
        if self.in_flight is not None:
            conditions.append(Execution.finished_at.is_null(self.in_flight))
        if self.outcome_unknown is not None:
            conditions.append(_build_outcome_unknown(self.outcome_unknown))
        if self.review is not None:
            conditions.append(_build_in_review(self.review))
        if self.stuck:
            conditions.append(build_stuck_condition())
        if self.held_by:
            conditions.append(build_held_condition(self.held_by))
        return conditions + self._build_error_conditions()

    def _build_error_conditions(self) -> list[peewee.Expression]:
        conditions = [build_failure_scope(self.failure)] if self.failure else []
        if self.error_class is not None:
            conditions.append(
                build_failure_class(self.error_class) if self.failure else Execution.error_class == self.error_class
            )
        for column, value in ((Execution.provider, self.provider), (Execution.error_code, self.code)):
            if value is not None:
                conditions.append(column.is_null() if value == NONE else column == value)
        if self.waiting_for is not None:
            waits = _WAITS_FOR_PROVIDER if self.waiting_for == "provider" else (self.waiting_for,)
            conditions += [Execution.status == "waiting", Execution.waiting_for.in_(waits)]
        return conditions

    def _build_value_conditions(self) -> list[peewee.Expression]:
        conditions = [column == value for column, value in self._list_values() if value is not None]
        if self.status == "pending":
            # A pending execution always has `due_at`; the condition lets the small index of due executions serve.
            conditions.append(Execution.due_at.is_null(False))
        if self.ids is not None:
            conditions.append(is_any(Execution.id, self.ids))
        if self.stage_until:
            conditions.append(Execution.stage_since <= self.stage_until)
        # Ids grow with time: bounds on them limit the scan of the newest-first index.
        if self.since:
            conditions += [
                Execution.created_at >= self.since,
                Execution.id >= build_lowest_id(self.since - _CLOCK_SKEW),
            ]
        if self.until:
            conditions += [Execution.created_at < self.until, Execution.id < build_lowest_id(self.until + _CLOCK_SKEW)]
        if self.sent_since or self.sent_until:
            conditions.append(Execution.id.in_(_select_sent(self.sent_since, self.sent_until)))
        if self.finished_since:
            conditions.append(Execution.finished_at >= self.finished_since)
        if self.finished_until:
            conditions.append(Execution.finished_at < self.finished_until)
        return conditions

    def _list_values(self) -> list[tuple[Any, Any]]:
        return [
            (Execution.automation_id, self.automation_id),
            (Execution.status, self.status),
            (Execution.stage, self.stage),
            (Execution.contact_id, self.contact_id),
            (Execution.test, self.test),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the filters that are set, by the API's names: operations and the audit log store them so."""
        values = {
            "automationId": self.automation_id,
            "status": self.status,
            "stage": self.stage,
            "contactId": self.contact_id,
            "q": self.q,
            "errorClass": self.error_class,
            "from": self.since and self.since.isoformat(),
            "to": self.until and self.until.isoformat(),
            "test": self.test,
            "sentFrom": self.sent_since and self.sent_since.isoformat(),
            "outcomeUnknown": self.outcome_unknown,
            "inFlight": self.in_flight,
            "review": self.review,
            "sentTo": self.sent_until and self.sent_until.isoformat(),
            "finishedFrom": self.finished_since and self.finished_since.isoformat(),
            "finishedTo": self.finished_until and self.finished_until.isoformat(),
            "stuck": self.stuck or None,
            "heldBy": self.held_by,
            "provider": self.provider,
            "code": self.code,
            "waitingFor": self.waiting_for,
            "ids": list(self.ids) if self.ids is not None else None,
            "failure": self.failure,
            "stageTo": self.stage_until and self.stage_until.isoformat(),
        }
        return {name: value for name, value in values.items() if value is not None}


def _build_in_flight() -> peewee.Expression:
    # The automation's id is in the condition because the index of unfinished executions starts with it.
    automations = Automation.select(Automation.id).where(Automation.workspace_id == acting_workspace())
    return all_of(
        Execution.finished_at.is_null(),
        Execution.status.in_(sorted(IN_FLIGHT)),
        Execution.automation_id.in_(automations),
    )


def _build_outcome_unknown(is_unknown: bool) -> peewee.Expression:
    if is_unknown:
        return Execution.error_class == "unknown_outcome"
    return is_distinct_from(Execution.error_class, "unknown_outcome")


def _build_in_review(is_in_review: bool) -> peewee.Expression:
    if is_in_review:
        return (Execution.status == "waiting") & (Execution.waiting_for == "review")
    return (Execution.status != "waiting") | is_distinct_from(Execution.waiting_for, "review")


def _select_sent(since: datetime | None, until: datetime | None) -> peewee.ModelSelect[Any]:
    query = StageHistory.select(StageHistory.execution_id).where(
        StageHistory.workspace_id == acting_workspace(), StageHistory.stage == "sent"
    )
    if since:
        query = query.where(StageHistory.entered_at >= since)
    return query.where(StageHistory.entered_at < until) if until else query


def _build_text_condition(q: str) -> peewee.Expression:
    if is_id(q):
        return (Execution.id == q) | (Execution.contact_id == q)
    contacts = peewee.Select(columns=[find_matching_contacts(clean_query(q), None)])
    return Execution.contact_id.in_(contacts)


def build_lowest_id(moment: datetime) -> str:
    """Return the smallest id that can be created at `moment`."""
    milliseconds = max(0, int(moment.astimezone(UTC).timestamp() * 1000))
    return str(uuid.UUID(int=(milliseconds & (2**48 - 1)) << 80))
