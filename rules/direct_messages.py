"""Whether Meta would take a direct message now: its window of 24 hours, and what may still be said to a comment.

The window opens with each message of the contact and does not open with a comment. A private reply needs no window,
but goes only to a comment of the last seven days, and each comment takes one; a comment that is gone takes nothing.
Asked when a round is judged and again right before the send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.eligibility import Skip, build_skip, format_channel
from rules.facts import format_time

#: How long after the contact's last message we may write.
WINDOW = timedelta(hours=24)
#: How long after a comment it takes a private reply.
MAX_COMMENT_AGE = timedelta(days=7)
#: Triggers that are themselves a message of the contact.
MESSAGE_TRIGGERS = frozenset({"instagram.message", "instagram.story_reply", "facebook.message"})


@dataclass(frozen=True, slots=True)
class Comment:
    """The comment that a trigger brought."""

    id: str
    at: datetime


def parse_comment(payload: object, triggered_at: datetime) -> Comment | None:
    """The comment in a trigger's payload, as `payload.comment.id`; written at `payload.comment.at`, else just then."""
    comment = payload.get("comment") if isinstance(payload, Mapping) else None
    if (
        not isinstance(comment, Mapping)
        or not isinstance(comment.get("id"), str | int)
        or not str(comment["id"]).strip()
    ):
        return None
    return Comment(str(comment["id"]).strip(), _parse_time(comment.get("at")) or triggered_at)


def _parse_time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at.astimezone(UTC) if at.tzinfo else None


def check_delivery(
    way: str,
    channel: str,
    *,
    last_received: datetime | None,
    comment: Comment | None,
    deleted_at: datetime | None = None,
    now: datetime,
) -> Skip | None:
    """Why Meta would not take a message that goes this way now, or None; `deleted_at` is when the comment was."""
    if way == "message":
        return _check_window(channel, last_received, now)
    if comment is None:
        return build_skip("no_comment", way, None, "The trigger brought no comment that could be answered")
    if deleted_at is not None:
        return build_skip(
            "comment_deleted", way, format_time(deleted_at), "The comment was deleted before it was answered"
        )
    if way == "private_reply" and comment.at + MAX_COMMENT_AGE <= now:
        measured = {"commented_at": format_time(comment.at), "ended_at": format_time(comment.at + MAX_COMMENT_AGE)}
        return build_skip(
            "comment_too_old", "7 days", measured, "The comment is older than the 7 days in which it takes a reply"
        )
    return None


def _check_window(channel: str, last_received: datetime | None, now: datetime) -> Skip | None:
    name = format_channel(channel)
    if last_received is None:
        measured = {"last_received_at": None, "closed_at": None}
        return build_skip("window_closed", "24 hours", measured, f"The contact has never written to us on {name}")
    closed_at = last_received + WINDOW
    if now < closed_at:
        return None
    times = {"last_received_at": format_time(last_received), "closed_at": format_time(closed_at)}
    message = (
        f"The contact last wrote on {name} at {format_time(last_received)}; "
        f"the window closed at {format_time(closed_at)}"
    )
    return build_skip("window_closed", "24 hours", times, message)


def build_comment_answered_skip() -> Skip:
    """The skip when the comment has had its one private reply."""
    return build_skip("comment_answered", 1, 1, "The comment has had its private reply: Meta takes one for each")
