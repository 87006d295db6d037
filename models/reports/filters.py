"""Filters of executions, the same for the list and for every bulk action."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from models.ids import is_id
from models.reports.search import build_prefix_query

#: How far the time in an id may differ from the time on its row, because machines' clocks differ.
_CLOCK_SKEW = timedelta(minutes=10)
_SENT_SINCE = (
    "e.id in (select h.execution_id from stage_history h "
    "where h.workspace_id = e.workspace_id and h.stage = 'sent' and h.entered_at >= %s)"
)
#: The automation's id is in the condition because the index of unfinished executions starts with it.
_IN_FLIGHT = (
    "e.finished_at is null and e.status in ('pending', 'running', 'waiting') "
    "and e.automation_id in (select a.id from automations a where a.workspace_id = e.workspace_id)"
)
_FINAL_STAGES = ("completed", "failed", "skipped")
_IN_REVIEW = "e.status = 'waiting' and e.waiting_for = 'review'"
_NOT_IN_REVIEW = "(e.status <> 'waiting' or e.waiting_for is distinct from 'review')"


@dataclass(frozen=True)
class ExecutionFilters:
    """Optional filters, combined with AND.

    `since` and `until` (exclusive) bound the time the trigger was accepted; `q` is an execution's id or words in the
    contact's names and addresses; `sent_since` is the earliest time of a sent message. `outcome_unknown`, `in_flight`
    and `review` select executions with an unknown outcome, unfinished ones and those with a message in review, or all
    others.
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

    def build_where(self) -> tuple[str, list[Any]]:
        """Return a condition on `executions e` in the acting workspace, and its parameters."""
        conditions = self._build_flag_conditions()
        parameters: list[Any] = []
        for condition, value in self._list_value_conditions():
            if value is not None:
                conditions.append(condition)
                parameters.append(value)
        if self.q:
            condition, value = _build_text_condition(self.q)
            conditions.append(condition)
            parameters.extend(value)
        return " and ".join(conditions) or "true", parameters

    @property
    def words(self) -> str | None:
        """The full text query of `q` for contacts' names and addresses; None if `q` is an id or has no words."""
        return build_prefix_query(self.q) if self.q and not is_id(self.q) else None

    def _build_flag_conditions(self) -> list[str]:
        """Return the conditions that need no parameter."""
        is_in_flight = self.in_flight or (self.stage is not None and self.stage not in _FINAL_STAGES)
        conditions = [_IN_FLIGHT] if is_in_flight and not self.status else []
        if self.in_flight is not None:
            conditions.append(f"e.finished_at is {'' if self.in_flight else 'not '}null")
        if self.outcome_unknown is not None:
            conditions.append(f"e.error_class {'=' if self.outcome_unknown else 'is distinct from'} 'unknown_outcome'")
        if self.review is not None:
            conditions.append(_IN_REVIEW if self.review else _NOT_IN_REVIEW)
        return conditions

    def _list_value_conditions(self) -> list[tuple[str, Any]]:
        # Ids grow with time: bounds on them limit the scan of the newest-first index.
        return [
            ("e.automation_id = %s", self.automation_id),
            # A pending execution always has `due_at`; the condition lets the small index of due executions serve.
            ("e.status = %s and e.due_at is not null" if self.status == "pending" else "e.status = %s", self.status),
            ("e.stage = %s", self.stage),
            ("e.contact_id = %s", self.contact_id),
            ("e.error_class = %s", self.error_class),
            ("e.test = %s", self.test),
            ("e.created_at >= %s", self.since),
            ("e.id >= %s", self.since and build_lowest_id(self.since - _CLOCK_SKEW)),
            ("e.created_at < %s", self.until),
            ("e.id < %s", self.until and build_lowest_id(self.until + _CLOCK_SKEW)),
            (_SENT_SINCE, self.sent_since),
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the filters that are set, by the API's names."""
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
        }
        return {name: value for name, value in values.items() if value is not None}


def _build_text_condition(q: str) -> tuple[str, list[Any]]:
    if is_id(q):
        return "(e.id = %s or e.contact_id = %s)", [q, q]
    words = build_prefix_query(q)
    if words is None:
        return "false", []
    return (
        "e.contact_id in (select find_matching_contacts(to_tsquery('simple', %s), %s, null))", [words, q.strip()]
    )  # fmt: skip


def build_lowest_id(moment: datetime) -> str:
    """Return the smallest id that can be created at `moment`."""
    milliseconds = max(0, int(moment.astimezone(UTC).timestamp() * 1000))
    return str(uuid.UUID(int=(milliseconds & (2**48 - 1)) << 80))
