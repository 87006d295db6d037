"""The rows of an execution, typed: what a claim returns and what a record writes.

Each column of a record is declared once, here: its Python type for the code, its SQL type for the statements of
`models.engine.claim_and_record`, which derive their column lists from these classes. Rows that PostgreSQL hands over as
JSON get their times parsed once, by `parse_claimed_row`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Annotated, Any, TypedDict, cast, get_args, get_origin, get_type_hints

from rules.actions import RunKind
from rules.errors import ErrorClass
from rules.stages import MessageStatus, Queue, Stage, Status, StepStatus, WaitingFor

Uuid = Annotated[str, "uuid"]
BigInt = Annotated[int, "bigint"]
Json = Annotated[dict[str, Any], "jsonb"]
JsonList = Annotated[list[dict[str, Any]], "jsonb"]

_SQL_TYPES: dict[Any, str] = {str: "text", int: "integer", bool: "boolean", datetime: "timestamptz"}


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
    next_retry_at: datetime | None
    misconfigured_since: datetime | None
    skipped_rule: str | None
    skipped_detail: Json | None
    round: int
    follow_up_count: int
    follow_up_ended_because: Json | None
    run_kind: RunKind | None
    finished_at: datetime | None


class StepRow(TypedDict, total=False):
    """One step of an execution in one round, as `steps` holds it."""

    execution_id: Uuid
    step_id: str
    round: int
    action: str
    status: StepStatus
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    execution_time_ms: BigInt | None
    output: Json | None
    error: Json | None
    failures: JsonList


class MessageRow(TypedDict, total=False):
    """One message of an execution, as `messages` holds it."""

    id: Uuid
    execution_id: Uuid
    automation_id: Uuid
    contact_id: Uuid | None
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
    generation_ms: BigInt | None
    look_ups: int
    look_up_at: datetime | None
    resends: int
    error_class: ErrorClass | None
    error_message: str | None
    detail: Json | None
    send_at: datetime | None
    sending_at: datetime | None
    sent_at: datetime | None
    created_at: datetime
    updated_at: datetime


class DueRow(TypedDict):
    """An execution that became due, with the queue to notify."""

    id: str
    queue: Queue


class StoredMessageRow(MessageRow):
    """A message with its workspace: every column of `messages`."""

    workspace_id: str


class StageMove(TypedDict):
    """One row of the stage history: the stage that was entered, and how long the one before lasted."""

    execution_id: Uuid
    from_stage: Stage
    from_ms: BigInt
    stage: Stage
    entered_at: datetime


class PauseRow(TypedDict):
    """A pause of the execution's workspace, as the claim reads it."""

    kind: str
    name: str
    reason: str
    retry_at: datetime | None


class ClaimedRow(ExecutionState):
    """What a claim returns: the execution with its automation, contact, pauses, steps and messages."""

    id: str
    workspace_id: str
    automation_id: str
    version_id: str
    contact_id: str | None
    test: bool
    fence: int
    created_at: datetime
    event_at: datetime | None
    follow_ups_stopped: dict[str, Any] | None
    status_before: Status
    claimed_at: datetime
    trigger_type: str
    payload: dict[str, Any]
    automation_name: str
    automation_type: str
    automation_enabled: bool
    automation_deleted: bool
    automation_paused: bool
    workspace_timezone: str
    demo: bool
    contact: dict[str, Any] | None
    steps: list[StepRow]
    messages: list[MessageRow]
    suppressed: list[str]
    pauses: list[PauseRow]


@cache
def list_columns(row_type: type) -> dict[str, str]:
    """The columns of a row with their SQL types, in the order of the class."""
    return {name: _find_sql_type(hint) for name, hint in get_type_hints(row_type, include_extras=True).items()}


def parse_claimed_row(row: Mapping[str, Any]) -> ClaimedRow:
    """The row of a claim with its steps, messages and pauses as rows: times parsed, lists where there were none."""
    return cast(
        ClaimedRow,
        {
            **row,
            "steps": _parse_rows(row["steps"] or (), StepRow),
            "messages": _parse_rows(row["messages"] or (), MessageRow),
            "pauses": _parse_rows(row["pauses"] or (), PauseRow),
            "suppressed": row["suppressed"] or [],
        },
    )


def _parse_rows(rows: Iterable[dict[str, Any]], row_type: type) -> list[Any]:
    time_columns = _list_time_columns(row_type)
    for row in rows:
        for name in time_columns:
            if row.get(name) is not None:
                row[name] = datetime.fromisoformat(row[name])
    return list(rows)


@cache
def _list_time_columns(row_type: type) -> tuple[str, ...]:
    return tuple(name for name, sql_type in list_columns(row_type).items() if sql_type == "timestamptz")


def _find_sql_type(hint: Any) -> str:
    """The SQL type of an annotation: named by `Annotated`, else by the Python type; literals are text."""
    if hasattr(hint, "__metadata__"):
        return str(hint.__metadata__[0])
    options = [option for option in get_args(hint) if option is not NoneType]
    if get_origin(hint) is not None and options and isinstance(options[0], str):
        return "text"
    return _find_sql_type(options[0]) if options else _SQL_TYPES[hint]
