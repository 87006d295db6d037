"""The record of one execution as a value; `group_commit` writes many at once.

An `ExecutionRecord` holds all mutable columns of the execution's row, the stages entered since the last record, the
changed steps and messages, and the effects on other rows that must commit with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.engine.rows import ExecutionState, MessageRow, RecipientRow, StageMove, StepRow
from models.tables.contacts import SuppressionReason
from rules.actions import RunKind


@dataclass(frozen=True)
class ChangeContact:
    """Tags and attributes to add, remove or set on a contact, by a step of a round.

    Where executions that end together would bring the contact over a limit, the later one's step is skipped.
    """

    step_id: str
    round: int
    contact_id: str
    add_tags: list[str]
    remove_tags: list[str]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class CreateTask:
    """A task for a person about a contact."""

    id: str
    contact_id: str | None
    step_id: str
    title: str
    assignee: str | None
    due_in_seconds: float | None


@dataclass(frozen=True)
class Suppress:
    """Suppress this contact and its address on this channel."""

    workspace_id: str
    contact_id: str
    channel: str
    address: str
    reason: SuppressionReason


@dataclass(frozen=True)
class ReleaseLimitReservation:
    """Release the round's reservation under the daily limits: it sent nothing."""

    round: int


@dataclass(frozen=True)
class PauseProvider:
    """Pause this workspace's provider: it refused the credentials, or has none."""

    provider: str
    message: str
    fingerprint: str
    retry_in_seconds: float


@dataclass(frozen=True)
class ResumeProvider:
    """End this workspace's pause for refused credentials: the provider has accepted a call."""

    provider: str


@dataclass(frozen=True)
class DetectReply:
    """Look for a reply that arrived after `since`, before the wait for it was recorded."""

    contact_id: str
    since: datetime


@dataclass(frozen=True)
class StoreLinks:
    """Store the links of a message whose clicks are counted: what each token leads to, in their order."""

    message_id: str
    urls_by_token: Mapping[str, str]


@dataclass(frozen=True)
class CountRun:
    """A succeeded step that counts as a run: its kind and time."""

    id: str
    kind: RunKind
    at: datetime


Effect = (
    ChangeContact
    | CreateTask
    | Suppress
    | ReleaseLimitReservation
    | PauseProvider
    | ResumeProvider
    | DetectReply
    | StoreLinks
)


@dataclass(slots=True)
class ExecutionRecord:
    """One record: written completely if `fence` is still the execution's, else not at all."""

    execution_id: str
    fence: int
    state: ExecutionState
    stages: list[StageMove] = field(default_factory=list)
    steps: list[StepRow] = field(default_factory=list)
    messages: list[MessageRow] = field(default_factory=list)
    recipients: list[RecipientRow] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    #: Counted in the same commit or, if that fails, marked to be counted later (`models.engine.runs`).
    run: CountRun | None = None
