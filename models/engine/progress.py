"""What a worker wants recorded of one execution, as values; `ledger` writes many of them at once.

A Progress holds the whole changeable part of the execution's row, the stages it passed since the last record, the
steps and messages that changed, and effects on other rows that must happen exactly when it does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.engine.rows import ExecutionState, MessageRow, StageMove, StepRow
from rules.actions import RunKind


@dataclass(frozen=True)
class ChangeContact:
    """Tags and attributes to add, remove or set on a contact."""

    contact_id: str
    add_tags: list[str]
    remove_tags: list[str]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class CreateTask:
    """Something for a person to do about a contact."""

    id: str
    contact_id: str | None
    step_id: str
    title: str
    assignee: str | None
    due_in_seconds: float | None


@dataclass(frozen=True)
class Suppress:
    """Never write to this contact on this channel again."""

    contact_id: str
    channel: str
    address: str | None
    reason: str


@dataclass(frozen=True)
class ReleaseLimitReservation:
    """The round sent nothing: its place under the daily limits is free again."""

    round: int


@dataclass(frozen=True)
class PauseProvider:
    """The provider of this workspace refused our credentials, or has none."""

    provider: str
    message: str
    fingerprint: str
    retry_in_seconds: float


@dataclass(frozen=True)
class DetectReply:
    """The contact may have answered what was sent at `since` before the wait for it was on record."""

    contact_id: str
    since: datetime


@dataclass(frozen=True)
class CountRun:
    """A step succeeded that counts as a run: what it was, and when."""

    id: str
    kind: RunKind
    at: datetime


Effect = ChangeContact | CreateTask | Suppress | ReleaseLimitReservation | PauseProvider | DetectReply


@dataclass(slots=True)
class Progress:
    """One record: written whole if `fence` is still the execution's, else not at all."""

    execution_id: str
    fence: int
    state: ExecutionState
    stages: list[StageMove] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    messages: list[MessageRow] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    #: Counted in the same commit or, where that cannot be, marked to be counted later (`models/run`).
    run: CountRun | None = None
