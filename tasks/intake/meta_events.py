"""Applies Meta's events: records conversations, starts automations, wakes executions and moves our messages.

The account in a webhook determines the workspace. A person who messages or comments becomes a contact. Every effect
commits in one transaction with the event's mark as processed, and the trigger has the event's id as its idempotency
key. A repeated event therefore changes nothing, however it arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import clock
import metrics
from models import (
    account,
    contact_lookup,
    contact_matching,
    conversation,
    execution,
    inbound_event,
    message,
    suppression,
    workspace,
)
from models.contact_matching import ContactRejection
from models.database import Row, acting_as
from providers.base import Callback
from providers.meta_callbacks import get_meta_timestamp
from providers.meta_messages import list_text_event_ids
from rules.channels import ADDRESS_FIELDS
from rules.contacts import MAX_NAME_LENGTH
from rules.definition import REPLIED
from rules.facts import format_time
from tasks.intake.callback_moves import STATUS, update_message_status
from tasks.intake.triggers import RejectedTrigger, TriggerRequest, accept, hash_body
from tasks.runtime.notifications import notify_after_commit

#: Kinds that report on our own messages; every other kind is something that a person says or does.
OWN_MESSAGE_KINDS = frozenset({"echo", "read", "delivered"})
#: The outcome of an event about an account that no workspace has.
UNKNOWN_ACCOUNT = "unknown account"
#: The outcome of an event that the sandbox signed, about a message or account outside the sandbox.
NOT_IN_SANDBOX = "not of the sandbox"
#: The trigger type of each kind of message; a mention in a story starts nothing.
MESSAGE_TRIGGERS = {"message": "message", "postback": "message", "story_reply": "story_reply"}


class ReadFailed(Exception):
    """The event cannot be applied now. It stays unprocessed, and the sweep retries it."""


def read(callback: Callback, message_row: Row | None, at: datetime, *, from_sandbox: bool) -> tuple[str, str | None]:
    """Apply one event; return its outcome and its workspace.

    `message_row` is our message that it is about; `at` is in the application's time.
    """
    workspace_id, account_id = _find_owner(callback, message_row)
    if workspace_id is None:
        metrics.triggers_total.labels(source="webhook", result="unknown_account").inc()
        return UNKNOWN_ACCOUNT, None
    if message_row is not None and message_row["workspace_id"] != workspace_id:
        return "another workspace's message", workspace_id
    if from_sandbox and not workspace.is_demo(workspace_id):
        return _apply_to_test(callback, workspace_id, message_row)
    if callback.kind in OWN_MESSAGE_KINDS:
        _move_messages(callback, workspace_id, message_row, sandbox_only=from_sandbox)
    else:
        with acting_as(workspace_id):
            _apply_contact_event(_ContactEvent(callback, workspace_id, account_id, at, from_sandbox=from_sandbox))
    return callback.kind, workspace_id


def _apply_to_test(callback: Callback, workspace_id: str, message_row: Row | None) -> tuple[str, str | None]:
    """Apply an event of the sandbox outside the demo workspace: it concerns a test's message only, and no contact."""
    related = message_row or _find_answered_message(callback)
    if related is None or not related["sandbox"] or related["workspace_id"] != workspace_id:
        return NOT_IN_SANDBOX, None
    if message_row is not None:
        update_message_status(message_row, callback)
    elif related["contact_id"] and callback.kind in ("replied", "unsubscribed"):
        notify_after_commit(execution.wake_for_events([(related["contact_id"], REPLIED)], tests_only=True))
    return callback.kind, workspace_id


def _find_owner(callback: Callback, message_row: Row | None) -> tuple[str | None, str | None]:
    """Return the workspace and account of an event, or (None, None) where no workspace has the account.

    The sandbox uses accounts that no workspace has. There, the message that the event is about decides the workspace.
    """
    account_row = account.find_by_external_id(callback.provider, str(callback.detail["account"]))
    if account_row is not None:
        return account_row["workspace_id"], account_row["id"]
    related = message_row or _find_answered_message(callback)
    return (related["workspace_id"], None) if related is not None and related["sandbox"] else (None, None)


def _move_messages(callback: Callback, workspace_id: str, message_row: Row | None, *, sandbox_only: bool) -> None:
    """Move our messages: one, several by their ids, or all up to a time (Messenger)."""
    if message_row is not None:
        update_message_status(message_row, callback)
    for mid in _as_list(callback.detail.get("mids")):
        other = message.find(callback.provider, mid, None)
        if other is not None and other["workspace_id"] == workspace_id and (other["sandbox"] or not sandbox_only):
            update_message_status(other, callback)
    until = get_meta_timestamp(callback.detail, "until")
    person = contact_lookup.find_by_address(callback.provider, callback.address or "", workspace_id)
    if until is not None and person is not None:
        status, shifted = STATUS[callback.kind], clock.shift(until)
        message.advance_until(callback.provider, person["id"], status, shifted, sandbox_only=sandbox_only)


def find_echoed_message(callback: Callback) -> Row | None:
    """Find an echo's message by its text, for an echo with neither our key nor a known id."""
    account_row = account.find_by_external_id(callback.provider, str(callback.detail["account"]))
    if account_row is None or not callback.text:
        return None
    person = contact_lookup.find_by_address(callback.provider, callback.address or "", account_row["workspace_id"])
    return message.find_unresolved(callback.provider, person["id"], callback.text) if person else None


class _ContactEvent:
    """An event of a person, with the person's contact, which is locked until the transaction ends."""

    def __init__(
        self, callback: Callback, workspace_id: str, account_id: str | None, at: datetime, *, from_sandbox: bool
    ) -> None:
        self.from_sandbox = from_sandbox
        self.callback, self.workspace_id, self.account_id, self.at = callback, workspace_id, account_id, at
        assert callback.provider_message_id is not None
        self.mid = callback.provider_message_id
        self.channel, self.detail = callback.provider, callback.detail
        self.kind = str(callback.detail.get("as", callback.kind))
        self.contact_id = _match_contact(callback, workspace_id)
        self.message_key = (workspace_id, self.contact_id, self.channel, self.mid)

    def record(self, kind: str) -> Row:
        """Add the event to the conversation."""
        return conversation.record_received(
            *self.message_key, kind=kind, text=self.callback.text, at=self.at, account_id=self.account_id
        )

    def forget(self) -> None:
        """Remove the text of an unsent message everywhere, including the raw event."""
        inbound_event.forget(
            self.channel, list_text_event_ids(str(self.detail["account"]), self.mid), sandbox=self.from_sandbox
        )

    def wake(self) -> bool:
        """Wake executions that wait for a reply of this contact; return whether there were any."""
        rows = execution.wake_for_events([(self.contact_id, REPLIED)])
        notify_after_commit(rows)
        return bool(rows)

    def start(self, type_: str, payload: Mapping[str, Any], *, answered: bool = False) -> None:
        """Start matching automations; a repeated event finds its key used."""
        request = TriggerRequest(
            type=f"{self.channel}.{type_}",
            contact_id=self.contact_id,
            contact=None,
            payload={**payload, "account": {"id": self.detail["account"]}},
            idempotency_key=self.callback.event_id,
            body_hash=hash_body({"event": self.callback.event_id}),
            answered=answered,
        )
        (result,) = accept(self.workspace_id, [request], "webhook")
        if isinstance(result, RejectedTrigger):
            raise ReadFailed("; ".join(problem.message for problem in result.problems))


def _apply_contact_event(event: _ContactEvent) -> None:
    contact_matching.note_event([event.contact_id])
    match event.callback.kind:
        case "edited":
            conversation.record_edited(*event.message_key, event.callback.text, event.at)
        case "unsent":
            conversation.record_deleted(*event.message_key, event.at, event.kind)
            event.forget()
        case "reacted":
            event.record("reaction")
        case "unsubscribed":
            _unsubscribe(event)
        case "comment":
            _apply_comment(event)
        case _:
            _apply_message(event)


def _unsubscribe(event: _ContactEvent) -> None:
    event.record(event.kind)
    to = {"workspace_id": event.workspace_id, "contact_id": event.contact_id, "test": False, "channel": event.channel}
    suppression.add_for_message({**to, "to_address": event.callback.address}, "unsubscribed")
    event.wake()


def _apply_comment(event: _ContactEvent) -> None:
    row = event.record("comment")
    if row["deleted_at"] is not None:
        return
    comment = {
        "id": event.mid,
        "text": row["text"] or "",
        "media_id": event.detail.get("mediaId"),
        "parent_id": event.detail.get("parentId"),
        "from": {
            "id": event.callback.address,
            "username": event.detail.get("username") or event.detail.get("name"),
        },
        "live": bool(event.detail.get("live")),
        "at": format_time(event.at),
    }
    event.start("comment", {"comment": comment})


def _apply_message(event: _ContactEvent) -> None:
    row = event.record(event.kind)
    if row["deleted_at"] is not None:
        event.forget()
        return
    if event.kind not in MESSAGE_TRIGGERS:
        return
    message_payload = {
        "id": event.mid,
        "text": row["text"] or "",
        "payload": event.detail.get("payload"),
        "attachments": event.detail.get("attachments", []),
        "at": format_time(event.at),
    }
    payload: dict[str, Any] = {"message": message_payload}
    if event.kind == "story_reply":
        payload["story"] = {"id": None, "url": None, **_as_mapping(event.detail.get("story"))}
    event.start(MESSAGE_TRIGGERS[event.kind], payload, answered=event.wake())


def _match_contact(callback: Callback, workspace_id: str) -> str:
    """Return the person's contact, created if necessary, and locked."""
    assert callback.address is not None
    existing = contact_lookup.find_by_address(
        callback.provider, callback.address, workspace_id
    ) or _find_answered_contact(callback, workspace_id)
    fields: dict[str, Any] = {}
    if existing is None:
        fields = {ADDRESS_FIELDS[callback.provider]: callback.address, **_split_name(callback.detail.get("name"))}
    if username := callback.detail.get("username"):
        fields["username"] = str(username)[:MAX_NAME_LENGTH]
    (contact,) = contact_matching.match_or_create(workspace_id, [(existing["id"] if existing else None, fields)])
    if contact is None or isinstance(contact, ContactRejection):
        raise ReadFailed(contact.message if contact else "the event names no person")
    return str(contact["id"])


def _find_answered_contact(callback: Callback, workspace_id: str) -> Row | None:
    """Return the recipient of the answered message: a new id is then another id of the same person."""
    related = _find_answered_message(callback)
    if related is None or related["workspace_id"] != workspace_id or related["contact_id"] is None:
        return None
    return {"id": related["contact_id"]}


def _find_answered_message(callback: Callback) -> Row | None:
    """Return our message that a person answered, where Meta names it."""
    answered_id = callback.detail.get("answers")
    return message.find(callback.provider, str(answered_id), None) if answered_id else None


def _split_name(full_name: object) -> dict[str, str]:
    """Split a full name, as a Page shows it, into first and last name."""
    first, _, last = str(full_name or "").strip().partition(" ")
    parts = {"first_name": first, "last_name": last.strip()}
    return {name: part[:MAX_NAME_LENGTH] for name, part in parts.items() if part}


def _as_list(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _as_mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
