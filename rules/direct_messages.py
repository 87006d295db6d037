"""Decides whether Meta accepts a direct message now: the 24-hour window, and the replies that a comment allows.

Each message of the contact opens the window; a comment does not. A private reply needs no window, but the comment
must be at most seven days old and gets one private reply; a deleted comment gets no reply. Checked when a round is
evaluated and again immediately before the send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.eligibility import Skip, build_skip, format_channel
from rules.facts import format_time

#: Time after the contact's last message in which we may send.
WINDOW = timedelta(hours=24)
#: Maximum age of a comment for a private reply.
MAX_COMMENT_AGE = timedelta(days=7)
#: Triggers that are themselves a message of the contact.
MESSAGE_TRIGGERS = frozenset({"instagram.message", "instagram.story_reply", "facebook.message"})


@dataclass(frozen=True, slots=True)
class Comment:
    """The comment of a trigger's payload."""

    id: str
    at: datetime


def parse_comment(payload: object, triggered_at: datetime) -> Comment | None:
    """Read `payload.comment` of a trigger; without a valid `comment.at`, the comment's time is `triggered_at`."""
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
    kind: str,
    channel: str,
    *,
    last_received: datetime | None,
    comment: Comment | None,
    deleted_at: datetime | None = None,
    now: datetime,
) -> Skip | None:
    """Return why Meta would reject a message sent this way now, or None; `deleted_at` is the comment's deletion."""
    if kind == "message":
        return _check_window(channel, last_received, now)
    if comment is None:
        return build_skip("no_comment", kind, None, "The trigger has no comment to reply to")
    if deleted_at is not None:
        return build_skip(
            "comment_deleted", kind, format_time(deleted_at), "The comment was deleted before the reply was sent"
        )
    if kind == "private_reply" and comment.at + MAX_COMMENT_AGE <= now:
        measured = {"commented_at": format_time(comment.at), "ended_at": format_time(comment.at + MAX_COMMENT_AGE)}
        return build_skip(
            "comment_too_old", "7 days", measured, "The comment is older than 7 days, the limit for a private reply"
        )
    return None


def _check_window(channel: str, last_received: datetime | None, now: datetime) -> Skip | None:
    name = format_channel(channel)
    if last_received is None:
        measured = {"last_received_at": None, "closed_at": None}
        return build_skip("window_closed", "24 hours", measured, f"The contact has never sent a message on {name}")
    closed_at = last_received + WINDOW
    if now < closed_at:
        return None
    times = {"last_received_at": format_time(last_received), "closed_at": format_time(closed_at)}
    message = (
        f"The contact last sent a message on {name} at {format_time(last_received)}; "
        f"the window closed at {format_time(closed_at)}"
    )
    return build_skip("window_closed", "24 hours", times, message)


def build_comment_answered_skip() -> Skip:
    """Build the skip for a comment that already has its one private reply."""
    return build_skip("comment_answered", 1, 1, "The comment already has a private reply: Meta allows one per comment")
