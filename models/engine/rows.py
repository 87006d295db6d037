"""The rows of an execution, typed: what a claim returns and what a record writes.

These classes have the Python types of the columns, for the code; the models in `models.tables` have the SQL types. The
statements of `models.engine.claim_and_record` derive their column lists from both, at import. Times in JSON from
PostgreSQL are parsed once, by `parse_claimed_row`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypedDict, cast

from models.tables import Execution, Message, Pause, ProviderBreaker, StageHistory, Step, Table
from models.tables.fields import TimeField
from models.tables.workspaces import PauseKind, PauseReason
from rules.actions import RunKind
from rules.errors import ErrorClass
from rules.stages import MessageStatus, Queue, Stage, Status, StepStatus, WaitingFor


class ExecutionState(TypedDict, total=False):
    """The columns of `executions` that a record replaces."""

    status: Status
    stage: Stage
    stage_since: datetime
    queue: Queue
    due_at: datetime | None
    waiting_for: WaitingFor | None
    wait_event: str | None
    deliveries: int
    attempt: int
    resume_stage: Stage | None
    failed_step: str | None
    error_class: ErrorClass | None
    error_message: str | None
    error_code: str | None
    provider: str | None
    next_retry_at: datetime | None
    misconfigured_since: datetime | None
    rate_limited_since: datetime | None
    skipped_rule: str | None
    skipped_detail: dict[str, Any] | None
    round: int
    follow_up_count: int
    follow_up_ended_because: dict[str, Any] | None
    run_kind: RunKind | None
    finished_at: datetime | None


class StepRow(TypedDict, total=False):
    """One step of an execution in one round, as `steps` holds it."""

    execution_id: str
    step_id: str
    round: int
    action: str
    status: StepStatus
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    execution_time_ms: int | None
    output: dict[str, Any] | None
    error: dict[str, Any] | None
    failures: list[dict[str, Any]]


class MessageRow(TypedDict, total=False):
    """One message of an execution, as `messages` holds it."""

    id: str
    execution_id: str
    automation_id: str
    contact_id: str | None
    step_id: str
    round: int
    key: str
    channel: str
    provider: str
    sandbox: bool
    test: bool
    to_address: str
    sender: str | None
    subject: str | None
    body: str
    format: str
    status: MessageStatus
    provider_message_id: str | None
    generation_ms: int | None
    look_ups: int
    look_up_at: datetime | None
    resends: int
    error_class: ErrorClass | None
    error_message: str | None
    detail: dict[str, Any] | None
    send_at: datetime | None
    sending_at: datetime | None
    sent_at: datetime | None
    created_at: datetime
    updated_at: datetime


class DueRow(TypedDict):
    """An execution that became due, with the queue to notify."""

    id: str
    queue: Queue
    workspace_id: str


class StoredMessageRow(MessageRow):
    """A message with its workspace: every column of `messages`."""

    workspace_id: str
    look_up_log: list[dict[str, Any]]
    body_length: int | None
    body_hash: bytes | None
    look_up_requested_at: datetime | None


class StageMove(TypedDict):
    """One row of the stage history: the stage that was entered, and how long the one before lasted."""

    execution_id: str
    from_stage: Stage
    from_ms: int
    stage: Stage
    entered_at: datetime


class RecipientRow(TypedDict):
    """The address behind the hash that the links of an execution's e-mail carry; the hash in hexadecimal digits."""

    execution_id: str
    address_hash: str
    address: str


class PauseRow(TypedDict):
    """A pause of the execution's workspace, as the claim reads it."""

    kind: PauseKind
    name: str
    reason: PauseReason
    retry_at: datetime | None
    draining: bool


class BreakerRow(TypedDict):
    """The circuit breaker of a provider that timed out in the execution's workspace, as the claim reads it."""

    provider: str
    opened_at: datetime | None
    probe_at: datetime | None
    probed_by: str | None


class ClaimedRow(ExecutionState):
    """What a claim returns: the execution with its automation, contact, pauses, breakers, steps and messages."""

    id: str
    workspace_id: str
    automation_id: str
    version_id: str
    trigger_id: str
    contact_id: str | None
    test: bool
    fence: int
    created_at: datetime
    event_at: datetime | None
    follow_ups_stopped: dict[str, Any] | None
    status_before: Status
    #: The place of its workspace in the turns of the claim; 0 for a claim by id.
    turn: int
    claimed_at: datetime
    #: This process's monotonic clock right before the claim was sent, so not after `claimed_at`.
    sent_monotonic: float
    trigger_type: str
    payload: dict[str, Any]
    loop_depth: int | None
    automation_name: str
    automation_type: str
    automation_enabled: bool
    automation_deleted: bool
    automation_paused: bool
    automatic_retries: bool
    workspace_timezone: str
    demo: bool
    contact: dict[str, Any] | None
    steps: list[StepRow]
    messages: list[MessageRow]
    suppressed: list[str]
    pauses: list[PauseRow]
    breakers: list[BreakerRow]


#: The table of each row.
TABLES: dict[type, type[Table]] = {
    ExecutionState: Execution,
    StepRow: Step,
    MessageRow: Message,
    StageMove: StageHistory,
    PauseRow: Pause,
    BreakerRow: ProviderBreaker,
}


@cache
def list_columns(row_type: type) -> dict[str, str]:
    """Return the columns of a row with the SQL types of its table, in the order of the class."""
    columns = TABLES[row_type]._meta.columns
    return {name: columns[name].field_type for name in row_type.__annotations__}


def parse_claimed_row(row: Mapping[str, Any]) -> ClaimedRow:
    """Return the row of a claim with the times of its lists parsed, and with empty lists for nulls."""
    return cast(
        ClaimedRow,
        {
            **row,
            "steps": _parse_rows(row["steps"] or (), StepRow),
            "messages": _parse_rows(row["messages"] or (), MessageRow),
            "pauses": parse_pauses(row["pauses"] or ()),
            "breakers": parse_breakers(row["breakers"] or ()),
            "suppressed": row["suppressed"] or [],
        },
    )


def parse_pauses(rows: Iterable[dict[str, Any]]) -> list[PauseRow]:
    """Return pauses that were read as JSON, with their times parsed."""
    return _parse_rows(rows, PauseRow)


def parse_breakers(rows: Iterable[dict[str, Any]]) -> list[BreakerRow]:
    """Return breakers that were read as JSON, with their times parsed."""
    return _parse_rows(rows, BreakerRow)


def _parse_rows(rows: Iterable[dict[str, Any]], row_type: type) -> list[Any]:
    time_columns = _list_time_columns(row_type)
    for row in rows:
        for name in time_columns:
            if row.get(name) is not None:
                row[name] = datetime.fromisoformat(row[name])
    return list(rows)


@cache
def _list_time_columns(row_type: type) -> tuple[str, ...]:
    columns = TABLES[row_type]._meta.columns
    return tuple(name for name in row_type.__annotations__ if isinstance(columns[name], TimeField))
