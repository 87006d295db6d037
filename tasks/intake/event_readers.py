"""Defines the reader of a provider's events: it parses an event, finds our message that it is about, and applies it.

A reader does not import `callbacks`, which alone takes, defers, finishes and drops events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from models.engine.rows import StoredMessageRow
from models.message import Recipient
from models.tables.contacts import SuppressionReason
from providers.base import Callback


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One stored event as a callback, with our message that it is about."""

    callback: Callback
    #: Our message, locked until the transaction ends; None for any other event.
    message: StoredMessageRow | None
    #: When it happened, in the application's time.
    at: datetime
    #: The workspace in the path of the webhook, if any.
    workspace_id: str | None
    #: Whether the sandbox signed it.
    from_sandbox: bool
    #: When it arrived.
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome that is recorded with an event, and the event's workspace."""

    text: str
    workspace_id: str | None = None
    #: False for an event that belongs to no workspace: it is deleted.
    is_kept: bool = True
    #: False for an event about a contact that was erased: of it only the id is kept.
    keeps_body: bool = True


#: The sandbox signed an event about a message or account that is not in the sandbox.
NOT_IN_SANDBOX = "not of the sandbox"
#: The event is about a message of a workspace other than the one in its path or of its account.
OTHER_WORKSPACE = "another workspace's message"
#: The event is a comment or message of the workspace's own account or address, so it answers and starts nothing.
OWN_EVENT = "own"


class EventReader(Protocol):
    """The events of one provider."""

    def read(self, body: Mapping[str, Any], /) -> Callback | None:
        """Parse a stored body; return None for an event that changes nothing."""

    def message_of(self, callback: Callback, at: datetime, workspace_id: str | None) -> StoredMessageRow | None:
        """Find and lock our message that the callback is about; return None for any other event.

        `at` and `workspace_id` are those of `ReceivedEvent`.
        """

    def suppression_reason_of(self, callback: Callback) -> SuppressionReason | None:
        """Return why a report on a message suppresses its contact; None where it does not."""

    def recipient_of(self, callback: Callback) -> Recipient | None:
        """Return whom a report on a message of ours was sent to; None for an event that reports on none."""

    def apply(self, event: ReceivedEvent) -> Outcome:
        """Apply the event to messages, contacts and executions, in the caller's transaction."""
