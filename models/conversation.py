"""Received messages: stored once per provider's id, with edits and deletions, and when a contact last wrote.

Callbacks arrive twice, late and in any order: an edit or a deletion may arrive before its message, and then already
applies when the message arrives.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypedDict

from peewee import EXCLUDED, Case, fn

from models.ids import new_id
from models.queries import execute, fetch, fetch_first
from models.tables import Conversation, ReceivedMessage
from rules.channels import CONTACT_CHANNELS

#: Private messages. Only these open the provider's messaging window; a comment and a reaction do not.
PRIVATE_MESSAGE_KINDS = frozenset({"message", "story_reply", "story_mention", "postback"})
#: Messages that count as a reply; a mention in the contact's own story does not.
REPLY_KINDS = PRIVATE_MESSAGE_KINDS - {"story_mention"}
#: Characters stored of one message: an e-mail may have megabytes, and a conversation is for reading.
MAX_TEXT_LENGTH = 20_000

# By hand: each direction is limited by its own index before the two are merged.
_LIST_RECENT = """
    (select 'in' as direction, channel, kind, text, at
        from received_messages where contact_id = %(contact)s order by at desc limit %(limit)s)
    union all
    (select 'out', channel, 'message', body, sent_at from messages
        where contact_id = %(contact)s and sent_at is not null and not test
            and channel = any(%(channels)s) order by sent_at desc limit %(limit)s)
    order by at desc limit %(limit)s
"""
_KEY = (ReceivedMessage.workspace_id, ReceivedMessage.channel, ReceivedMessage.provider_message_id)


class ReceivedMessageRow(TypedDict):
    """A received message as it is now, after its edits and deletion."""

    id: str
    text: str | None
    deleted_at: datetime | None


class RecentMessageRow(TypedDict):
    """A message of a conversation, in either direction."""

    direction: Literal["in", "out"]
    channel: str
    kind: str
    text: str | None
    at: datetime


def record_received(
    workspace_id: str,
    contact_id: str,
    channel: str,
    provider_message_id: str,
    *,
    kind: str,
    text: str | None,
    at: datetime,
    account_id: str | None = None,
) -> ReceivedMessageRow:
    """Store one received message; return its row, which an earlier callback may have edited or deleted."""
    is_unchanged = ReceivedMessage.edited_at.is_null() & ReceivedMessage.deleted_at.is_null()
    row = fetch_first(
        ReceivedMessageRow,
        ReceivedMessage.insert(
            id=new_id(), workspace_id=workspace_id, contact_id=contact_id, channel=channel,
            provider_message_id=provider_message_id, kind=kind, text=_truncate(text), at=at,
        )
        .on_conflict(
            conflict_target=_KEY,
            update={
                "kind": EXCLUDED.kind,
                "at": EXCLUDED.at,
                "text": Case(None, [(is_unchanged, EXCLUDED.text)], ReceivedMessage.text),
            },
        )
        .returning(ReceivedMessage.id, ReceivedMessage.text, ReceivedMessage.deleted_at),
    )  # fmt: skip
    assert row is not None
    if kind in PRIVATE_MESSAGE_KINDS:
        _note(workspace_id, contact_id, channel, at, account_id)
    return row


def record_edited(
    workspace_id: str, contact_id: str, channel: str, provider_message_id: str, text: str | None, at: datetime
) -> None:
    """Store a message's new text, unless a later edit or its deletion is recorded."""
    is_older = ReceivedMessage.edited_at.is_null() | (ReceivedMessage.edited_at < EXCLUDED.edited_at)
    execute(
        ReceivedMessage.insert(
            id=new_id(), workspace_id=workspace_id, contact_id=contact_id, channel=channel,
            provider_message_id=provider_message_id, kind="message", text=_truncate(text), at=at, edited_at=at,
        ).on_conflict(
            conflict_target=_KEY,
            update={"text": EXCLUDED.text, "edited_at": EXCLUDED.edited_at},
            where=ReceivedMessage.deleted_at.is_null() & is_older,
        )
    )  # fmt: skip


def record_deleted(
    workspace_id: str, contact_id: str, channel: str, provider_message_id: str, at: datetime, kind: str = "message"
) -> None:
    """Delete the text of an unsent message permanently; its row stays."""
    execute(
        ReceivedMessage.insert(
            id=new_id(), workspace_id=workspace_id, contact_id=contact_id, channel=channel,
            provider_message_id=provider_message_id, kind=kind, at=at, deleted_at=at,
        ).on_conflict(
            conflict_target=_KEY,
            update={"text": None, "deleted_at": EXCLUDED.deleted_at},
            where=ReceivedMessage.deleted_at.is_null(),
        )
    )  # fmt: skip


def _truncate(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT_LENGTH]


def _note(workspace_id: str, contact_id: str, channel: str, at: datetime, account_id: str | None) -> None:
    """Record when the contact last wrote, and to which account; an older message changes nothing."""
    execute(
        Conversation.insert(
            contact_id=contact_id, channel=channel, workspace_id=workspace_id, account_id=account_id,
            last_received_at=at,
        ).on_conflict(
            conflict_target=(Conversation.contact_id, Conversation.channel, Conversation.workspace_id),
            update={
                "account_id": fn.coalesce(EXCLUDED.account_id, Conversation.account_id),
                "last_received_at": EXCLUDED.last_received_at,
            },
            where=Conversation.last_received_at < EXCLUDED.last_received_at,
        )
    )  # fmt: skip


def list_recent(contact_id: str, limit: int) -> list[RecentMessageRow]:
    """Return the newest messages in both directions, oldest first.

    Tests and notices to the team are excluded; deleted messages have no text.
    """
    parameters = {"contact": contact_id, "limit": limit, "channels": list(CONTACT_CHANNELS)}
    return fetch(RecentMessageRow, _LIST_RECENT, parameters)[::-1]


def forget(contact_id: str) -> None:
    """Delete the messages received from a contact."""
    for table in (ReceivedMessage, Conversation):
        execute(table.delete().where(table.contact_id == contact_id))
