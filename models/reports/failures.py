"""The page Failures: its tabs' counts, its groups by error class, provider and code, and the messages of unknown
outcome. Tests are left out by the filters of the caller.

All counts are read from the index `executions_failures`; the text of a group is read from its newest execution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypedDict

from peewee import JOIN, SQL, Case, fn

from models import pause
from models.database import acting_as
from models.execution_filters import NONE, ExecutionFilters
from models.expressions import is_any, is_distinct_from
from models.failure_scope import CONFIGURATION, FailureKind, build_failure_scope
from models.queries import count, fetch, fetch_first, fetch_value
from models.recent_reads import RecentReads
from models.tables import Automation, Contact, Execution, Message

_COUNT = fn.count(SQL("*"))
#: Groups on the page, the newest failures first.
MAX_GROUPS = 100
#: The failures that need a decision.
DECISIONS = ExecutionFilters(failure="decision", test=False)


class FailureCounts(TypedDict):
    """How many failures each tab lists; `any` is the sum of the others."""

    any: int
    decision: int
    automatic: int
    unknown: int


class _GroupRow(TypedDict):
    error_class: str
    provider: str | None
    code: str | None
    count: int
    automatic: int
    first_at: datetime
    last_at: datetime
    next_at: datetime | None
    lowest_attempt: int | None
    highest_attempt: int | None
    newest_id: str
    sample_id: str | None


@dataclass(frozen=True)
class FailureGroup:
    """Failures with one error class, provider and code.

    Of `count` executions, `automatic` are tried again without an operator, the first at `next_at`; their attempts are
    between `lowest_attempt` and `highest_attempt`. `message` is the newest error.
    """

    error_class: str
    provider: str | None
    code: str | None
    count: int
    automatic: int
    first_at: datetime
    last_at: datetime
    next_at: datetime | None
    lowest_attempt: int | None
    highest_attempt: int | None
    newest_id: str
    sample_id: str | None
    message: str | None

    @property
    def key(self) -> str:
        """The group's name in a URL."""
        return ".".join((self.error_class, self.provider or NONE, self.code or NONE))

    def narrow(self, filters: ExecutionFilters) -> ExecutionFilters:
        """Return the filters of exactly this group's executions within `filters`."""
        code = None if self.error_class == CONFIGURATION else self.code or NONE
        return replace(filters, error_class=self.error_class, provider=self.provider or NONE, code=code)


class UnknownItem(TypedDict):
    """A message of unknown outcome, with its look-ups and when the next one is due."""

    id: str
    execution_id: str
    contact_id: str | None
    contact_name: str | None
    automation_id: str
    automation_name: str
    provider: str
    to_address: str
    subject: str | None
    body: str
    sending_at: datetime | None
    look_ups: int
    look_up_at: datetime | None
    look_up_requested_at: datetime | None
    look_up_log: list[dict[str, Any]]


class UnknownCount(TypedDict):
    """How many executions of unknown outcome a provider has; of these, `undecided` are looked up no more."""

    provider: str
    count: int
    undecided: int
    next_at: datetime | None
    last_at: datetime | None


def fetch_time() -> datetime:
    """Return the database's current time, which an operation is bounded by."""
    moment: datetime = fetch_value("select beckon_now()")
    return moment


def count_failures(workspace_id: str, filters: ExecutionFilters) -> FailureCounts:
    """Count the failures of each tab that the filters match."""
    kinds: tuple[FailureKind, ...] = ("any", "decision", "automatic", "unknown")
    columns = [_COUNT.filter(build_failure_scope(kind)).alias(kind) for kind in kinds]
    query = Execution.select(*columns).where(replace(filters, failure="any").build_condition())
    with acting_as(workspace_id):
        row = fetch_first(FailureCounts, query)
    assert row is not None
    return row


def _count_decisions(workspace_id: str) -> int:
    with acting_as(workspace_id):
        return count(Execution.select().where(DECISIONS.build_condition()))


#: How many failures need a decision, for the badge on every page.
count_decisions = RecentReads(_count_decisions)


def list_groups(workspace_id: str, filters: ExecutionFilters) -> list[FailureGroup]:
    """Return the groups of the failures that the filters match, without those of unknown outcome."""
    error_class = Case(None, [(Execution.waiting_for == CONFIGURATION, CONFIGURATION)], Execution.error_class)
    # One group for all that waits for the same credentials, whatever the code of the refused call.
    code = Case(None, [(error_class == CONFIGURATION, None)], Execution.error_code)
    is_automatic = build_failure_scope("automatic")
    query = (
        Execution.select(
            error_class.alias("error_class"), Execution.provider, code.alias("code"), _COUNT.alias("count"),
            _COUNT.filter(is_automatic).alias("automatic"), fn.min(Execution.stage_since).alias("first_at"),
            fn.max(Execution.stage_since).alias("last_at"),
            fn.min(Execution.due_at).filter(is_automatic).alias("next_at"),
            fn.min(Execution.attempt).filter(is_automatic).alias("lowest_attempt"),
            fn.max(Execution.attempt).filter(is_automatic).alias("highest_attempt"),
            fn.max(Execution.id.cast("text")).alias("newest_id"),
            # One that waits for another one's credentials has no error of its own.
            fn.max(Execution.id.cast("text")).filter(Execution.error_class.is_null(False)).alias("sample_id"),
        )
        .where(filters.build_condition(), is_distinct_from(Execution.error_class, "unknown_outcome"))
        .group_by(SQL("1, 2, 3"))
        .order_by(SQL("last_at desc, newest_id desc"))
        .limit(MAX_GROUPS)
    )  # fmt: skip
    with acting_as(workspace_id):
        rows = fetch(_GroupRow, query)
        messages = _fetch_messages([row["sample_id"] for row in rows if row["sample_id"]])
        paused = [row for row in pause.list_all(workspace_id) if row["reason"] != "timeouts"]
        refusals = {row["name"]: row["message"] for row in paused}
    return [FailureGroup(**row, message=_find_message(row, messages, refusals)) for row in rows]


def _find_message(row: _GroupRow, messages: Mapping[str, str | None], refusals: Mapping[str, str]) -> str | None:
    """The newest error's message; of executions that only wait for credentials, the one that paused the provider."""
    if row["sample_id"] is None and row["error_class"] == CONFIGURATION:
        return refusals.get(row["provider"] or "")
    return messages.get(row["sample_id"] or "")


class _MessageRow(TypedDict):
    id: str
    error_message: str | None


def _fetch_messages(execution_ids: Sequence[str]) -> dict[str, str | None]:
    query = Execution.select(Execution.id, Execution.error_message).where(is_any(Execution.id, execution_ids))
    return {row["id"]: row["error_message"] for row in fetch(_MessageRow, query)} if execution_ids else {}


def count_unknown(workspace_id: str, filters: ExecutionFilters) -> list[UnknownCount]:
    """Count the executions of unknown outcome that the filters match, by provider."""
    is_undecided = Message.look_up_at.is_null() & Message.look_up_requested_at.is_null()
    query = (
        Message.select(
            Message.provider, fn.count(Message.execution_id.distinct()).alias("count"),
            fn.count(Message.execution_id.distinct()).filter(is_undecided).alias("undecided"),
            fn.min(fn.least(Message.look_up_at, Message.look_up_requested_at)).alias("next_at"),
            fn.max(Message.look_up_at).alias("last_at"),
        )
        .join(Execution, on=Execution.id == Message.execution_id)
        .where(Message.status == "outcome_unknown", replace(filters, failure="unknown").build_condition())
        .group_by(Message.provider)
        .order_by(Message.provider)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(UnknownCount, query)


def list_unknown(
    workspace_id: str, filters: ExecutionFilters, provider: str, limit: int, before: str | None = None
) -> list[UnknownItem]:
    """Return a page of a provider's messages of unknown outcome, newest first, older than the one with id `before`."""
    full_name = fn.nullif(fn.trim(fn.concat_ws(" ", Contact.first_name, Contact.last_name)), "")
    query = (
        Message.select(
            Message.id, Message.execution_id, Message.contact_id,
            fn.coalesce(full_name, Contact.username, Contact.email, Contact.phone, Contact.external_id).alias(
                "contact_name"
            ),
            Message.automation_id, Automation.name.alias("automation_name"), Message.provider, Message.to_address,
            Message.subject, fn.left(Message.body, 80).alias("body"), Message.sending_at, Message.look_ups,
            Message.look_up_at, Message.look_up_requested_at, Message.look_up_log,
        )
        .join(Execution, on=Execution.id == Message.execution_id)
        .join(Automation, on=Automation.id == Execution.automation_id)
        .switch(Message)
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == Message.contact_id)
        .where(
            Message.status == "outcome_unknown",
            Message.provider == provider,
            replace(filters, failure="unknown").build_condition(),
        )
        .order_by(Message.id.desc())
        .limit(limit)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(UnknownItem, query if before is None else query.where(Message.id < before))
