"""The one private reply that a comment takes: of any number of messages that want to be it, one is.

Its place belongs to a message's key and is never given back: a message whose answer was lost may have been sent.
"""

from __future__ import annotations

from models.database import fetch_value, transaction


def claim(workspace_id: str, channel: str, comment_id: str, message_key: str) -> bool:
    """Whether this message is the comment's private reply, now or since an earlier try."""
    with transaction():
        holder = fetch_value(
            """
            insert into private_replies as p (workspace_id, channel, comment_id, message_key) values (%s, %s, %s, %s)
            on conflict (workspace_id, channel, comment_id) do update set message_key = p.message_key
            returning message_key
            """,
            (workspace_id, channel, comment_id, message_key),
        )
    return bool(holder == message_key)
