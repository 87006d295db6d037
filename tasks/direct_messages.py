"""What sending on Facebook and Instagram takes beyond other messages: a sender, Meta's window, and the comment.

Asked by `tasks.checking` for the first message of a round and by `tasks.sending` right before each send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import account, private_reply
from models.database import connection
from models.sealed import unseal
from providers import meta
from providers.base import Button, Outgoing
from providers.shapes import text_at
from rules import direct_messages, fitting
from rules.definition import Step
from rules.direct_messages import MESSAGE_TRIGGERS, Comment
from rules.eligibility import Skip
from rules.templating import render
from settings import Settings
from tasks.passage import Passage

CHANNELS = account.CHANNELS
#: Ways that lead to the comment of the trigger instead of the contact.
TO_COMMENT = frozenset({"private_reply", "comment_reply"})


@dataclass(frozen=True)
class Sender:
    """As whom we write: the account's id (None: the token's own) and secrets; when the contact last wrote; and when
    the comment was deleted that the trigger brought, if it was."""

    external_id: str | None
    secrets: Mapping[str, str]
    last_received: datetime | None
    comment_deleted: datetime | None


def sender_of(settings: Settings, passage: Passage, channel: str) -> Sender:
    """The sender for this contact on a channel."""
    named, comment = text_at(passage.row["payload"], "account", "id"), comment_of(passage)
    with connection():
        found = account.writing_to(
            passage.row["workspace_id"], passage.row["contact_id"], channel, named, comment.id if comment else None
        )
    sealed = found["access_token"]
    token = unseal(settings.secret_key, sealed) if sealed else None
    wrote = found["last_received_at"]
    if wrote is None and passage.row["trigger_type"] in MESSAGE_TRIGGERS:
        wrote = passage.row["created_at"] if passage.row["trigger_type"].startswith(f"{channel}.") else None
    return Sender(found["external_id"], {meta.TOKEN: token} if token else {}, wrote, found["comment_deleted_at"])


def comment_of(passage: Passage) -> Comment | None:
    """The comment that the trigger brought."""
    return direct_messages.comment_of(passage.row["payload"], passage.row["created_at"])


def refused(passage: Passage, channel: str, way: str, sender: Sender) -> Skip | None:
    """Why Meta would not take a message now, or None."""
    return direct_messages.refused(
        way,
        channel,
        last_received=sender.last_received,
        comment=comment_of(passage),
        deleted_at=sender.comment_deleted,
        now=passage.now(),
    )


def answered(passage: Passage, step: Step) -> Skip | None:
    """Take the comment's one private reply for this step's message; the skip where another has it."""
    message = passage.messages[step.id]
    if step.way != "private_reply" or passage.test:
        return None
    taken = private_reply.take(passage.row["workspace_id"], message["channel"], message["to_address"], message["key"])
    return None if taken else direct_messages.comment_answered()


def written(step: Step, body: str, facts: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    """The text as long as its channel takes it, and what else the message is made of."""
    buttons = [_button(one, facts) for one in step.with_.get("buttons") or ()]
    replies = [_title(one, facts) for one in step.with_.get("quick_replies") or ()]
    fitted = fitting.fit(body, fitting.room(str(step.channel), str(step.way), buttons=bool(buttons)))
    detail: dict[str, Any] = {"way": step.way}
    if fitted != body:
        detail["shortenedFrom"] = len(body)
    if buttons:
        detail["buttons"] = buttons
    if replies:
        detail["quickReplies"] = replies
    return fitted, detail


def _button(button: Mapping[str, str], facts: Mapping[str, object]) -> dict[str, str]:
    rest = {name: render(button[name], facts).strip() for name in ("payload", "url") if button.get(name)}
    return {"title": _title(button["title"], facts), **rest}


def _title(source: str, facts: Mapping[str, object]) -> str:
    return fitting.fit(" ".join(render(source, facts).split()), fitting.TITLE)


def outgoing(message: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `Outgoing` that only direct messages have."""
    detail = message.get("detail") or {}
    return {
        "way": detail.get("way", Outgoing.way),
        "buttons": tuple(Button(**button) for button in detail.get("buttons", ())),
        "quick_replies": tuple(detail.get("quickReplies", ())),
    }
