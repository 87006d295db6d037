"""Received messages: stored once per provider's id, with edits and deletions, and when a contact last wrote.

Callbacks arrive twice, late and in any order: an edit or a deletion may arrive before its message, and then already
applies when the message arrives.
"""

from __future__ import annotations

from datetime import datetime

from models.database import Row, execute, fetch_row, fetch_rows
from models.ids import new_id

#: Private messages. Only these open the provider's messaging window; a comment and a reaction do not.
PRIVATE_MESSAGE_KINDS = frozenset({"message", "story_reply", "story_mention", "postback"})
#: Messages that count as a reply; a mention in the contact's own story does not.
REPLY_KINDS = PRIVATE_MESSAGE_KINDS - {"story_mention"}
#: Characters stored of one message: an e-mail may have megabytes, and a conversation is for reading.
MAX_TEXT_LENGTH = 20_000


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
) -> Row:
    """Store one received message; return its row, which an earlier callback may have edited or deleted."""
    row = fetch_row(
        """
        insert into received_messages as r
            (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (workspace_id, channel, provider_message_id) do update set
            kind = excluded.kind, at = excluded.at,
            text = case when r.edited_at is null and r.deleted_at is null then excluded.text else r.text end
        returning id, contact_id, kind, text, at, edited_at, deleted_at
        """,
        (new_id(), workspace_id, contact_id, channel, provider_message_id, kind, _truncate(text), at),
    )
    assert row is not None
    if kind in PRIVATE_MESSAGE_KINDS:
        _note(workspace_id, contact_id, channel, at, account_id)
    return row


def record_edited(
    workspace_id: str, contact_id: str, channel: str, provider_message_id: str, text: str | None, at: datetime
) -> None:
    """Store a message's new text, unless a later edit or its deletion is recorded."""
    execute(
        """
        insert into received_messages as r
            (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at, edited_at)
        values (%s, %s, %s, %s, %s, 'message', %s, %s, %s)
        on conflict (workspace_id, channel, provider_message_id) do update set
            text = excluded.text, edited_at = excluded.edited_at
            where r.deleted_at is null and (r.edited_at is null or r.edited_at < excluded.edited_at)
        """,
        (new_id(), workspace_id, contact_id, channel, provider_message_id, _truncate(text), at, at),
    )


def record_deleted(
    workspace_id: str, contact_id: str, channel: str, provider_message_id: str, at: datetime, kind: str = "message"
) -> None:
    """Delete the text of an unsent message permanently; its row stays."""
    execute(
        """
        insert into received_messages as r
            (id, workspace_id, contact_id, channel, provider_message_id, kind, at, deleted_at)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (workspace_id, channel, provider_message_id) do update set
            text = null, deleted_at = excluded.deleted_at where r.deleted_at is null
        """,
        (new_id(), workspace_id, contact_id, channel, provider_message_id, kind, at, at),
    )


def _truncate(text: str | None) -> str | None:
    return None if text is None else text[:MAX_TEXT_LENGTH]


def _note(workspace_id: str, contact_id: str, channel: str, at: datetime, account_id: str | None) -> None:
    """Record when the contact last wrote, and to which account; an older message changes nothing."""
    execute(
        """
        insert into conversations as c (contact_id, channel, workspace_id, account_id, last_received_at)
        values (%s, %s, %s, %s, %s)
        on conflict (contact_id, channel, workspace_id) do update set
            account_id = coalesce(excluded.account_id, c.account_id), last_received_at = excluded.last_received_at
            where c.last_received_at < excluded.last_received_at
        """,
        (contact_id, channel, workspace_id, account_id, at),
    )


def fetch_last_received(contact_id: str) -> dict[str, datetime]:
    """Return when the contact last wrote, by channel; channels without messages are absent."""
    rows = fetch_rows("select channel, last_received_at from conversations where contact_id = %s", (contact_id,))
    return {row["channel"]: row["last_received_at"] for row in rows}


def list_recent(contact_id: str, limit: int) -> list[Row]:
    """Return the newest messages in both directions, oldest first: `direction` (in, out), channel, kind, text, at.

    Tests and notices to the team are excluded; deleted messages have no text.
    """
    rows = fetch_rows(
        """
        (select 'in' as direction, channel, kind, text, at, deleted_at is not null as deleted
            from received_messages where contact_id = %(contact)s order by at desc limit %(limit)s)
        union all
        (select 'out', channel, 'message', body, sent_at, false from messages
            where contact_id = %(contact)s and sent_at is not null and not test
                and channel not in ('slack', 'discord', 'webhook') order by sent_at desc limit %(limit)s)
        order by at desc limit %(limit)s
        """,
        {"contact": contact_id, "limit": limit},
    )
    return rows[::-1]


def forget(contact_id: str) -> None:
    """Delete the messages received from a contact."""
    for table in ("received_messages", "conversations"):
        execute(f"delete from {table} where contact_id = %s", (contact_id,))
