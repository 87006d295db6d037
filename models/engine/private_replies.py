"""The one private reply that a comment accepts: of any number of competing messages, one claims it.

The claim belongs to a message's key and is never released: a message whose response was lost may have been sent.
"""

from __future__ import annotations

from models.database import transaction
from models.queries import fetch_value
from models.tables import PrivateReply


def claim(workspace_id: str, channel: str, comment_id: str, message_key: str) -> bool:
    """Claim the comment's private reply; return whether this message holds it, now or since an earlier attempt."""
    insertion = PrivateReply.insert(
        workspace_id=workspace_id, channel=channel, comment_id=comment_id, message_key=message_key
    ).on_conflict(
        conflict_target=(PrivateReply.workspace_id, PrivateReply.channel, PrivateReply.comment_id),
        # The update changes nothing and makes the statement return the row.
        update={"message_key": PrivateReply.message_key},
    )
    with transaction():
        holder = fetch_value(insertion.returning(PrivateReply.message_key))
    return bool(holder == message_key)
