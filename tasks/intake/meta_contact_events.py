"""Applies what a person says or does on Facebook or Instagram: comments, direct messages, reactions, edits, deletions.

A person who messages or comments becomes a contact. The trigger of an automation has the event's id as its idempotency
key, so a repeated event starts nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from models import answered_message, contact_matching, conversation, inbound_event, possible_opt_out, suppression
from models.conversation import ReceivedMessageRow
from providers.base import Callback
from providers.meta_messages import list_text_event_ids
from rules.facts import format_time
from rules.loops import ANSWER_WINDOW, CLOCK_TOLERANCE, compute_depth
from rules.trigger_requests import TriggerRequest, hash_body
from tasks.intake.callback_moves import wake_for_reply
from tasks.intake.event_readers import ReceivedEvent
from tasks.intake.meta_contacts import ApplyFailed, match_contact
from tasks.intake.triggers import RejectedTrigger, accept

#: The trigger type of each kind of message; a mention in a story starts nothing.
MESSAGE_TRIGGERS = {"message": "message", "postback": "message", "story_reply": "story_reply"}


def apply_contact_event(received: ReceivedEvent, workspace_id: str, account_id: str | None) -> None:
    """Apply an event of a person to the conversation, the person's contact and the automations that it starts.

    Raises `ApplyFailed` where it cannot be applied now.
    """
    event = _ContactEvent.load(received, workspace_id, account_id)
    contact_matching.note_event([event.contact_id])
    match event.callback.kind:
        case "edited":
            conversation.record_edited(*event.conversation_key, event.callback.text, event.at)
        case "unsent":
            conversation.record_deleted(*event.conversation_key, event.at, event.kind)
            event.forget()
        case "reacted":
            event.record("reaction")
        case "unsubscribed":
            _unsubscribe(event)
        case "comment":
            _apply_comment(event)
        case _:
            _apply_message(event)


@dataclass(frozen=True)
class _ContactEvent:
    """An event of a person, with the person's contact, which is locked until the transaction ends."""

    callback: Callback
    at: datetime
    received_at: datetime
    from_sandbox: bool
    workspace_id: str
    account_id: str | None
    contact_id: str
    is_sample: bool

    @classmethod
    def load(cls, received: ReceivedEvent, workspace_id: str, account_id: str | None) -> Self:
        """Match or create the person's contact, and lock it."""
        contact = match_contact(received.callback, workspace_id)
        return cls(
            received.callback, received.at, received.received_at, received.from_sandbox, workspace_id, account_id,
            contact.id, contact.is_sample,
        )  # fmt: skip

    @property
    def mid(self) -> str:
        """Meta's id of the message or comment."""
        assert self.callback.provider_message_id is not None
        return self.callback.provider_message_id

    @property
    def channel(self) -> str:
        """The channel: facebook or instagram."""
        return self.callback.provider

    @property
    def detail(self) -> Mapping[str, Any]:
        """What the event says besides its text."""
        return self.callback.detail

    @property
    def kind(self) -> str:
        """The kind of the message in the conversation."""
        return str(self.detail.get("as", self.callback.kind))

    @property
    def conversation_key(self) -> tuple[str, str, str, str]:
        """The key of the message in the conversation: workspace, contact, channel and Meta's id."""
        return self.workspace_id, self.contact_id, self.channel, self.mid

    def record(self, kind: str) -> ReceivedMessageRow:
        """Add the event to the conversation."""
        return conversation.record_received(
            *self.conversation_key, kind=kind, text=self.callback.text, at=self.at, account_id=self.account_id
        )

    def forget(self) -> None:
        """Remove the text of an unsent message everywhere, including the raw event."""
        inbound_event.forget(
            self.channel, list_text_event_ids(str(self.detail["account"]), self.mid), sandbox=self.from_sandbox
        )

    def start_automations(self, type_: str, payload: Mapping[str, Any], *, answered: bool = False) -> None:
        """Start matching automations; a repeated event finds its key used."""
        request = TriggerRequest(
            type=f"{self.channel}.{type_}",
            contact_id=self.contact_id,
            contact=None,
            payload={**payload, "account": {"id": self.detail["account"]}},
            idempotency_key=self.callback.event_id,
            body_hash=hash_body({"event": self.callback.event_id}),
            answered=answered,
            demo=self.is_sample,
            loop_depth=compute_depth(self._find_answered_depth()),
        )
        (result,) = accept(self.workspace_id, [request], "webhook")
        if isinstance(result, RejectedTrigger):
            raise ApplyFailed("; ".join(problem.message for problem in result.problems))

    def _find_answered_depth(self) -> int | None:
        """Find the depth of the automatic message that the event answers; None where it answers none.

        A comment answers in its thread only, and neither a story reply nor a tap on a button answers a text.
        """
        thread_id = self._find_thread() if self.kind == "comment" else None
        is_answer = thread_id is not None or (self.kind == "message" and "payload" not in self.detail)
        if not is_answer:
            return None
        # What was sent after the event arrived, or was written, is no message that it answers.
        until = min(self.received_at, self.at + CLOCK_TOLERANCE)
        return answered_message.find_depth(
            self.contact_id, self.channel, self.at - ANSWER_WINDOW, until,
            message_id=self.detail.get("answers"), thread_id=thread_id,
        )  # fmt: skip

    def _find_thread(self) -> str | None:
        """Find the comment that this one replies to. The parent of a page's first comments is the post."""
        parent_id = self.detail.get("parentId")
        return None if parent_id == self.detail.get("mediaId") else parent_id


def _unsubscribe(event: _ContactEvent) -> None:
    event.record(event.kind)
    suppression.add_for_word(event.workspace_id, event.contact_id, event.channel, event.callback.address or "")
    possible_opt_out.settle(event.workspace_id, event.contact_id, event.channel)
    wake_for_reply(event.contact_id)


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
    event.start_automations("comment", {"comment": comment})


def _apply_message(event: _ContactEvent) -> None:
    row = event.record(event.kind)
    if row["deleted_at"] is not None:
        event.forget()
        return
    if event.callback.intent == "possible_opt_out" and not event.is_sample:
        possible_opt_out.record(event.workspace_id, event.contact_id, event.channel, row["id"])
    if event.callback.intent == "opt_in":
        # Before the automations that the message starts.
        suppression.lift_word(
            event.workspace_id, event.contact_id, event.channel, event.callback.address or "", row["text"] or ""
        )
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
    event.start_automations(MESSAGE_TRIGGERS[event.kind], payload, answered=wake_for_reply(event.contact_id))


def _as_mapping(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
