"""Provides what sends on Facebook and Instagram need beyond other messages: a sender, Meta's window, and the comment.

`tasks.eligibility` uses it for the first message of a round, `tasks.steps.sending` right before each send.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models import account
from models.database import connection
from models.encryption import decrypt
from models.engine import private_replies
from providers import meta
from providers.base import Button, OutgoingMessage
from providers.untrusted import get_text
from rules import direct_messages, truncation
from rules.definition import Step
from rules.direct_messages import MESSAGE_TRIGGERS, Comment
from rules.eligibility import Skip
from rules.templating import render
from settings import Settings
from tasks.runtime.claimed_execution import ClaimedExecution

#: Ways that reply to the trigger's comment instead of messaging the contact.
TO_COMMENT = frozenset({"private_reply", "comment_reply"})


@dataclass(frozen=True)
class Sender:
    """The sending account's id (None: the token's own) and secrets, the time of the contact's last message, and the
    time at which the trigger's comment was deleted, if it was."""

    external_id: str | None
    secrets: Mapping[str, str]
    last_received: datetime | None
    comment_deleted: datetime | None


def load_sender(settings: Settings, claimed: ClaimedExecution, channel: str) -> Sender:
    """Load the sender for this contact on a channel."""
    account_id, comment = get_text(claimed.row["payload"], "account", "id"), read_comment(claimed)
    with connection():
        row = account.fetch_sender(
            claimed.row["workspace_id"], claimed.row["contact_id"], channel, account_id, comment.id if comment else None
        )
    encrypted_token = row["access_token"]
    token = decrypt(settings.secret_key, encrypted_token) if encrypted_token else None
    last_received = row["last_received_at"]
    if last_received is None and claimed.row["trigger_type"] in MESSAGE_TRIGGERS:
        last_received = claimed.row["created_at"] if claimed.row["trigger_type"].startswith(f"{channel}.") else None
    return Sender(row["external_id"], {meta.TOKEN: token} if token else {}, last_received, row["comment_deleted_at"])


def read_comment(claimed: ClaimedExecution) -> Comment | None:
    """Return the trigger's comment, if it has one."""
    return direct_messages.parse_comment(claimed.row["payload"], claimed.row["created_at"])


def find_refusal(claimed: ClaimedExecution, channel: str, kind: str, sender: Sender) -> Skip | None:
    """Return why Meta would refuse a message now, or None."""
    return direct_messages.check_delivery(
        kind,
        channel,
        last_received=sender.last_received,
        comment=read_comment(claimed),
        deleted_at=sender.comment_deleted,
        now=claimed.now(),
    )


def claim_private_reply(claimed: ClaimedExecution, step: Step) -> Skip | None:
    """Claim the comment's only private reply for this step's message; return a skip where another message has it."""
    message = claimed.messages[step.id]
    if step.message_kind != "private_reply" or claimed.test:
        return None
    is_taken = private_replies.claim(
        claimed.row["workspace_id"], message["channel"], message["to_address"], message["key"]
    )
    return None if is_taken else direct_messages.build_comment_answered_skip()


def compose(step: Step, body: str, facts: Mapping[str, object]) -> tuple[str, dict[str, Any]]:
    """Truncate the text to its channel's limit; return it and the message's other parts."""
    buttons = [_render_button(button, facts) for button in step.with_.get("buttons") or ()]
    replies = [_render_title(title, facts) for title in step.with_.get("quick_replies") or ()]
    text = truncation.truncate(
        body, truncation.find_text_limit(str(step.channel), str(step.message_kind), buttons=bool(buttons))
    )
    detail: dict[str, Any] = {"way": step.message_kind}
    if text != body:
        detail["shortenedFrom"] = len(body)
    if buttons:
        detail["buttons"] = buttons
    if replies:
        detail["quickReplies"] = replies
    return text, detail


def _render_button(button: Mapping[str, str], facts: Mapping[str, object]) -> dict[str, str]:
    fields = {name: render(button[name], facts).strip() for name in ("payload", "url") if button.get(name)}
    return {"title": _render_title(button["title"], facts), **fields}


def _render_title(source: str, facts: Mapping[str, object]) -> str:
    return truncation.truncate(" ".join(render(source, facts).split()), truncation.TITLE_LIMIT)


def build_outgoing_fields(message: Mapping[str, Any]) -> dict[str, Any]:
    """Build the fields of an `OutgoingMessage` that only direct messages have."""
    detail = message.get("detail") or {}
    return {
        "kind": detail.get("way", OutgoingMessage.kind),
        "buttons": tuple(Button(**button) for button in detail.get("buttons", ())),
        "quick_replies": tuple(detail.get("quickReplies", ())),
    }
