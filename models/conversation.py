"""What contacts write to us: kept once under the provider's id, edited and unsent as they wish, and when it was last.

Callbacks come twice, late and in any order: an edit or a deletion may be told before the message itself, and then
stands already when the message comes.
"""

from __future__ import annotations

from datetime import datetime

from models.database import Row, execute, fetch_row, fetch_rows
from models.ids import new_id

#: What a person says to us alone. Only these let us answer for a while: a comment and a reaction do not.
PRIVATE_MESSAGE_KINDS = frozenset({"message", "story_reply", "story_mention", "postback"})
#: What answers us: a mention in somebody's own story does not.
REPLY_KINDS = PRIVATE_MESSAGE_KINDS - {"story_mention"}
#: A mail may bring megabytes; a conversation is for reading.
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
    """Keep one received message; the row as it stands, which may have been edited or deleted before it came."""
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
    """Keep what a message was changed to, unless a later change or its deletion is on record."""
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
    """Forget the text of a message that was unsent, for good: that it was there stays on record."""
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
    """Remember when the contact last wrote, and to which account; an older message changes nothing."""
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
    """When the contact last wrote to us, by channel; channels on which they never did are not there."""
    rows = fetch_rows("select channel, last_received_at from conversations where contact_id = %s", (contact_id,))
    return {row["channel"]: row["last_received_at"] for row in rows}


def list_recent(contact_id: str, limit: int) -> list[Row]:
    """The newest messages of both directions, oldest first: `direction` (in, out), channel, kind, text, at.

    Tests are left out, and notices to the team, and what was deleted is there without its text.
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
    """Remove what a contact wrote, with the contact."""
    for table in ("received_messages", "conversations"):
        execute(f"delete from {table} where contact_id = %s", (contact_id,))
