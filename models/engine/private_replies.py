"""The one private reply that a comment accepts: of any number of competing messages, one claims it.

The claim belongs to a message's key and is never released: a message whose response was lost may have been sent.
"""

from __future__ import annotations

from models.database import fetch_value, transaction


def claim(workspace_id: str, channel: str, comment_id: str, message_key: str) -> bool:
    """Claim the comment's private reply; return whether this message holds it, now or since an earlier attempt."""
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
