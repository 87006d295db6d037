"""What contacts write to us: kept once under the provider's id, edited and unsent as they wish, and when it was last.

Callbacks come twice, late and in any order: an edit or a deletion may be told before the message itself, and then
stands already when the message comes.
"""

from __future__ import annotations

from datetime import datetime

from models.database import Row, changed, row, rows
from models.ids import new_id

#: What a person says to us alone. Only these let us answer for a while: a comment and a reaction do not.
SAID = frozenset({"message", "story_reply", "story_mention", "postback"})
#: What answers us: a mention in somebody's own story does not.
ANSWERS = SAID - {"story_mention"}
#: A mail may bring megabytes; a conversation is for reading.
LONGEST_TEXT = 20_000


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
    kept = row(
        """
        insert into received_messages as r
            (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (workspace_id, channel, provider_message_id) do update set
            kind = excluded.kind, at = excluded.at,
            text = case when r.edited_at is null and r.deleted_at is null then excluded.text else r.text end
        returning id, contact_id, kind, text, at, edited_at, deleted_at
        """,
        (new_id(), workspace_id, contact_id, channel, provider_message_id, kind, _short(text), at),
    )
    assert kept is not None
    if kind in SAID:
        _note(workspace_id, contact_id, channel, at, account_id)
    return kept


def record_edited(
    workspace_id: str, contact_id: str, channel: str, provider_message_id: str, text: str | None, at: datetime
) -> None:
    """Keep what a message was changed to, unless a later change or its deletion is on record."""
    changed(
        """
        insert into received_messages as r
            (id, workspace_id, contact_id, channel, provider_message_id, kind, text, at, edited_at)
        values (%s, %s, %s, %s, %s, 'message', %s, %s, %s)
        on conflict (workspace_id, channel, provider_message_id) do update set
            text = excluded.text, edited_at = excluded.edited_at
            where r.deleted_at is null and (r.edited_at is null or r.edited_at < excluded.edited_at)
        """,
        (new_id(), workspace_id, contact_id, channel, provider_message_id, _short(text), at, at),
    )


def record_deleted(
    workspace_id: str, contact_id: str, channel: str, provider_message_id: str, at: datetime, kind: str = "message"
) -> None:
    """Forget the text of a message that was unsent, for good: that it was there stays on record."""
    changed(
        """
        insert into received_messages as r
            (id, workspace_id, contact_id, channel, provider_message_id, kind, at, deleted_at)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (workspace_id, channel, provider_message_id) do update set
            text = null, deleted_at = excluded.deleted_at where r.deleted_at is null
        """,
        (new_id(), workspace_id, contact_id, channel, provider_message_id, kind, at, at),
    )


def _short(text: str | None) -> str | None:
    return None if text is None else text[:LONGEST_TEXT]


def _note(workspace_id: str, contact_id: str, channel: str, at: datetime, account_id: str | None) -> None:
    """Remember when the contact last wrote, and to which account; an older message changes nothing."""
    changed(
        """
        insert into conversations as c (contact_id, channel, workspace_id, account_id, last_received_at)
        values (%s, %s, %s, %s, %s)
        on conflict (contact_id, channel, workspace_id) do update set
            account_id = coalesce(excluded.account_id, c.account_id), last_received_at = excluded.last_received_at
            where c.last_received_at < excluded.last_received_at
        """,
        (contact_id, channel, workspace_id, account_id, at),
    )


def last_received(contact_id: str) -> dict[str, datetime]:
    """When the contact last wrote to us, by channel; channels on which they never did are not there."""
    found = rows("select channel, last_received_at from conversations where contact_id = %s", (contact_id,))
    return {one["channel"]: one["last_received_at"] for one in found}


def recent(contact_id: str, limit: int) -> list[Row]:
    """The newest messages of both directions, oldest first: `direction` (in, out), channel, kind, text, at.

    Tests are left out, and notices to the team, and what was deleted is there without its text.
    """
    found = rows(
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
    return found[::-1]


def forget(contact_id: str) -> None:
    """Remove what a contact wrote, with the contact."""
    for table in ("received_messages", "conversations"):
        changed(f"delete from {table} where contact_id = %s", (contact_id,))
