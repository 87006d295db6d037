"""Applies the events of e-mail and SMS: delivery reports on our messages, replies and unsubscribes.

A delivery report moves its message and may suppress the contact. A reply joins the conversation and wakes executions
that wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from models import (
    contact_lookup,
    contact_matching,
    conversation,
    follow_up,
    help_reply,
    message,
    possible_opt_out,
    suppression,
    workspace,
    workspace_preferences,
)
from models.engine.rows import StoredMessageRow
from models.message import Recipient
from models.tables.contacts import SuppressionReason
from providers.base import Callback
from providers.registry import ReadEvent
from rules.channels import CHANNELS
from tasks.intake.callback_moves import find_by_text, note_ambiguity, update_message_status, wake_for_reply
from tasks.intake.event_readers import OTHER_WORKSPACE, OWN_EVENT, Outcome, ReceivedEvent
from tasks.intake.own_addresses import is_from_own_address
from tasks.runtime.notifications import enqueue_after_commit, notify_after_commit

#: Kinds that suppress the contact, with the reason that is recorded.
SUPPRESSION_REASONS: dict[str, SuppressionReason] = {
    "bounced": "bounced",
    "complained": "complained",
    "unsubscribed": "unsubscribed",
}
#: Kinds that a contact may cause without a message of ours.
_FROM_CONTACT = frozenset({"replied", "unsubscribed"})
#: The channel on which each provider receives messages from contacts.
INBOUND_CHANNELS = {channel.provider: channel.name for channel in CHANNELS.values() if channel.contact_field}


@dataclass(frozen=True)
class DeliveryEventReader:
    """The events of a provider of e-mail or SMS."""

    read: ReadEvent

    def message_of(self, callback: Callback, at: datetime, workspace_id: str | None) -> StoredMessageRow | None:
        """Find and lock our message that the callback is about, or answers."""
        row = message.find(callback.provider, callback.provider_message_id, callback.message_key)
        if row is not None and callback.key_is_unsigned and row["to_address"] != callback.address:
            row = message.find(callback.provider, callback.provider_message_id, None)
        recipient = self.recipient_of(callback) if row is None else None
        return find_by_text(recipient, callback.sent_text, at, workspace_id) if recipient else row

    def suppression_reason_of(self, callback: Callback) -> SuppressionReason | None:
        """Return why the event suppresses the contact; None where it does not. A temporary bounce is no reason."""
        if callback.suppress_channel:
            return "blocked"
        is_temporary = callback.kind == "bounced" and not callback.permanent
        return None if is_temporary else SUPPRESSION_REASONS.get(callback.kind)

    def recipient_of(self, callback: Callback) -> Recipient | None:
        """Return whom the message of a delivery report was sent to."""
        is_report = callback.provider_message_id is not None and callback.kind not in _FROM_CONTACT
        return Recipient(callback.provider, callback.address) if is_report and callback.address else None

    def apply(self, event: ReceivedEvent) -> Outcome:
        """Apply an event about our message, or a message of a contact."""
        if event.message is None and event.callback.kind in _FROM_CONTACT:
            return _receive_from_contact(event)
        if event.message is None:
            note_ambiguity(self.recipient_of(event.callback), event.callback.sent_text, event.at, event.workspace_id)
            return Outcome("unknown message")
        if event.workspace_id not in (None, event.message["workspace_id"]):
            return Outcome(OTHER_WORKSPACE)
        if _is_own(event, event.message["workspace_id"]):
            return Outcome(OWN_EVENT, event.message["workspace_id"])
        update_message_status(event.message, event.callback)
        if event.from_sandbox and not workspace.is_demo(event.message["workspace_id"]):
            _apply_to_test(event.callback, event.message)
        else:
            _apply_to_contact(event, event.message, self.suppression_reason_of(event.callback))
        return Outcome(event.callback.kind, event.message["workspace_id"])


def _is_own(event: ReceivedEvent, workspace_id: str) -> bool:
    """Whether a reply comes from the workspace itself; a request to stop counts from any address."""
    return event.callback.kind == "replied" and is_from_own_address(event.callback, event.message, workspace_id)


def _apply_to_test(callback: Callback, message_row: StoredMessageRow) -> None:
    """Wake the test: a test execution's message concerns only that test and changes nothing about the contact."""
    if callback.kind == "replied" and message_row["contact_id"]:
        wake_for_reply(message_row["contact_id"], tests_only=True)


def _apply_to_contact(event: ReceivedEvent, message_row: StoredMessageRow, reason: SuppressionReason | None) -> None:
    """Apply what the event says about the message's contact: an address that bounces, a complaint, a reply."""
    callback, contact_id = event.callback, message_row["contact_id"]
    if reason is not None:
        suppression.add_for_message(message_row, reason)
        if contact_id:
            notify_after_commit(follow_up.wake(contact_id))
    if callback.kind == "replied" and contact_id:
        _record_received(event, message_row["workspace_id"], contact_id)
        wake_for_reply(contact_id)


def _receive_from_contact(event: ReceivedEvent) -> Outcome:
    """Apply a message of a contact, found by address in the path's workspace or that of our last message to it."""
    callback = event.callback
    channel = INBOUND_CHANNELS[callback.provider]
    contact = contact_lookup.find_by_address(
        channel, callback.address or "", event.workspace_id, demo_only=event.from_sandbox
    )
    if contact is None:
        return _apply_to_address(event, channel)
    contact["id"] = contact_lookup.lock_current(contact["id"])
    if _is_own(event, contact["workspace_id"]):
        return Outcome(OWN_EVENT, contact["workspace_id"])
    _apply_request(callback, channel, contact["workspace_id"], contact["id"])
    _answer_help(event, channel, contact["workspace_id"])
    contact_matching.note_event([contact["id"]])
    _record_received(event, contact["workspace_id"], contact["id"])
    wake_for_reply(contact["id"])
    return Outcome(callback.kind, contact["workspace_id"])


def _apply_to_address(event: ReceivedEvent, channel: str) -> Outcome:
    """Apply what a person asks for whose contact was deleted: the address alone is suppressed, or free again."""
    callback, address = event.callback, event.callback.address
    workspace_id = address and contact_lookup.find_workspace(
        channel, address, event.workspace_id, demo_only=event.from_sandbox
    )
    if not workspace_id or callback.intent not in ("opt_out", "opt_in", "help"):
        return Outcome("unknown sender")
    _apply_request(callback, channel, workspace_id, None)
    _answer_help(event, channel, workspace_id)
    return Outcome(callback.kind, workspace_id)


def _apply_request(callback: Callback, channel: str, workspace_id: str, contact_id: str | None) -> None:
    """Suppress for a word that asks to stop; lift what such a word made for one that asks to start again."""
    address = callback.address or ""
    if callback.intent == "opt_out":
        suppression.add_for_word(workspace_id, contact_id, channel, address)
        if contact_id is not None:
            possible_opt_out.settle(workspace_id, contact_id, channel)
    elif callback.intent == "opt_in":
        # Telnyx has answered START and so lifted the block for which it refuses messages.
        suppression.lift_word(
            workspace_id, contact_id, channel, address, callback.text or "", at_provider=callback.is_answered
        )


def _answer_help(event: ReceivedEvent, channel: str, workspace_id: str) -> None:
    """Answer HELP by SMS where the workspace has a text for it and the provider has not answered."""
    callback = event.callback
    if channel != "sms" or callback.intent != "help" or callback.is_answered or not callback.address:
        return
    text = workspace_preferences.load(workspace_id).help_text
    if text:
        sender = callback.detail.get("to")
        reply_id = help_reply.record(
            workspace_id, callback.address, str(sender) if sender else None, text, sandbox=event.from_sandbox
        )
        enqueue_after_commit("sending", "send_help_reply", [reply_id] if reply_id else [])


def _record_received(event: ReceivedEvent, workspace_id: str, contact_id: str) -> None:
    """Add the contact's message to the conversation, and to the possible opt-outs if it may be one."""
    callback, channel = event.callback, INBOUND_CHANNELS[event.callback.provider]
    row = conversation.record_received(
        workspace_id,
        contact_id,
        channel,
        str(callback.detail.get("messageId") or callback.event_id),
        kind="message",
        text=callback.text,
        at=event.at,
    )
    if callback.intent == "possible_opt_out":
        possible_opt_out.record(workspace_id, contact_id, channel, row["id"])
