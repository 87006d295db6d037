"""Applies Meta's events: finds the workspace of the account in a webhook, and moves our messages.

Events of a person (comments, direct messages, reactions, edits, deletions) are applied by `meta_contact_events`. Every
effect commits in one transaction with the event's mark as processed, so a repeated event changes nothing, however it
arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import clock
import metrics
from models import account, contact_lookup, message, workspace
from models.database import acting_as
from models.engine.rows import StoredMessageRow
from models.message import Recipient
from models.tables.contacts import SuppressionReason
from providers.base import Callback
from providers.meta_callbacks import get_meta_timestamp
from providers.registry import ReadEvent
from tasks.intake.callback_moves import STATUS, find_by_text, note_ambiguity, update_message_status, wake_for_reply
from tasks.intake.event_readers import NOT_IN_SANDBOX, OTHER_WORKSPACE, OWN_EVENT, Outcome, ReceivedEvent
from tasks.intake.meta_contact_events import apply_contact_event
from tasks.intake.meta_contacts import find_answered_message

#: Kinds that report on our own messages; every other kind is something that a person says or does.
OWN_MESSAGE_KINDS = frozenset({"echo", "read", "delivered"})
#: No workspace has the account, so nobody may read the event.
UNKNOWN_ACCOUNT = Outcome("unknown account", is_kept=False)


@dataclass(frozen=True)
class MetaEventReader:
    """The events of Facebook or Instagram."""

    read: ReadEvent

    def message_of(self, callback: Callback, at: datetime, workspace_id: str | None) -> StoredMessageRow | None:
        """Find and lock our message that the event reports on; None for what a person says or does.

        The account of an event, not its path, decides the workspace.
        """
        if callback.kind not in OWN_MESSAGE_KINDS:
            return None
        message_row = message.find(callback.provider, callback.provider_message_id, callback.message_key)
        is_echo = message_row is None and callback.kind == "echo"
        return _find_echoed_message(callback, at) if is_echo else message_row

    def suppression_reason_of(self, callback: Callback) -> SuppressionReason | None:
        """Return None: what a person asks for is no report on a message."""
        return None

    def recipient_of(self, callback: Callback) -> Recipient | None:
        """Return the person to whom the message of a report was sent; it may have gone to a comment of theirs."""
        if callback.kind not in OWN_MESSAGE_KINDS or not callback.address:
            return None
        account_row = account.find_by_external_id(callback.provider, str(callback.detail["account"]))
        if account_row is None:
            return Recipient(callback.provider, callback.address)
        return _find_recipient(callback, account_row["workspace_id"])

    def apply(self, event: ReceivedEvent) -> Outcome:
        """Apply an event about our messages, or an event of a person."""
        workspace_id, account_id = _find_owner(event)
        if workspace_id is None:
            metrics.triggers_total.labels(source="webhook", result="unknown_account").inc()
            return UNKNOWN_ACCOUNT
        if event.message is not None and event.message["workspace_id"] != workspace_id:
            return Outcome(OTHER_WORKSPACE, workspace_id)
        if event.from_sandbox and not workspace.is_demo(workspace_id):
            return _apply_to_test(event, workspace_id)
        if event.callback.kind in OWN_MESSAGE_KINDS:
            _note_own_names(event.callback, account_id)
            _move_messages(event, workspace_id)
        elif _is_own(event.callback, workspace_id):
            return Outcome(OWN_EVENT, workspace_id)
        else:
            with acting_as(workspace_id):
                apply_contact_event(event, workspace_id, account_id)
        return Outcome(event.callback.kind, workspace_id)


def _note_own_names(callback: Callback, account_id: str | None) -> None:
    username, scoped_id = (_get_text(callback, name) for name in ("username", "scopedId"))
    if account_id is not None and (username or scoped_id):
        account.note_own_names(account_id, username, scoped_id)


def _is_own(callback: Callback, workspace_id: str) -> bool:
    """Whether an event that Meta does not mark comes from an account of the workspace, by any of its ids or its name.

    Meta names an account by other ids where another account of the workspace receives the event.
    """
    return account.is_own(workspace_id, callback.provider, callback.address, _get_text(callback, "username"))


def _get_text(callback: Callback, name: str) -> str | None:
    value = callback.detail.get(name)
    return value if isinstance(value, str) else None


def _find_echoed_message(callback: Callback, at: datetime) -> StoredMessageRow | None:
    """Find an echo's message by its text, for an echo with neither our key nor a known id."""
    account_row = account.find_by_external_id(callback.provider, str(callback.detail["account"]))
    if account_row is None:
        return None
    recipient = _find_recipient(callback, account_row["workspace_id"])
    return find_by_text(recipient, callback.text, at, account_row["workspace_id"])


def _find_recipient(callback: Callback, workspace_id: str) -> Recipient:
    address = callback.address or ""
    person = contact_lookup.find_by_address(callback.provider, address, workspace_id)
    return Recipient(callback.provider, address, person["id"] if person else None)


def _find_owner(event: ReceivedEvent) -> tuple[str | None, str | None]:
    """Return the workspace and account of an event, or (None, None) where no workspace has the account.

    The sandbox uses accounts that no workspace has. There, the message that the event is about decides the workspace.
    """
    callback = event.callback
    account_row = account.find_by_external_id(callback.provider, str(callback.detail["account"]))
    if account_row is not None:
        return account_row["workspace_id"], account_row["id"]
    related = event.message or find_answered_message(callback)
    return (related["workspace_id"], None) if related is not None and related["sandbox"] else (None, None)


def _apply_to_test(event: ReceivedEvent, workspace_id: str) -> Outcome:
    """Apply an event of the sandbox outside the demo workspace: it concerns a test's message only, and no contact."""
    callback = event.callback
    related = event.message or find_answered_message(callback)
    if related is None or not related["sandbox"] or related["workspace_id"] != workspace_id:
        return Outcome(NOT_IN_SANDBOX)
    if event.message is not None:
        update_message_status(event.message, callback)
    elif related["contact_id"] and callback.kind in ("replied", "unsubscribed"):
        wake_for_reply(related["contact_id"], tests_only=True)
    return Outcome(callback.kind, workspace_id)


def _move_messages(event: ReceivedEvent, workspace_id: str) -> None:
    """Move our messages: one, several by their ids, or all up to a time (Messenger)."""
    callback, sandbox_only = event.callback, event.from_sandbox
    if event.message is not None:
        update_message_status(event.message, callback)
    elif callback.kind == "echo":
        note_ambiguity(_find_recipient(callback, workspace_id), callback.text, event.at, workspace_id)
    for mid in _as_list(callback.detail.get("mids")):
        other = message.find(callback.provider, mid, None)
        if other is not None and other["workspace_id"] == workspace_id and (other["sandbox"] or not sandbox_only):
            update_message_status(other, callback)
    until = get_meta_timestamp(callback.detail, "until")
    person = contact_lookup.find_by_address(callback.provider, callback.address or "", workspace_id)
    if until is not None and person is not None:
        status, shifted = STATUS[callback.kind], clock.shift(until)
        message.advance_until(callback.provider, person["id"], status, shifted, sandbox_only=sandbox_only)


def _as_list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
