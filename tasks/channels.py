"""Where a step speaks: its channel, the contact's address there, and the provider behind it."""

from __future__ import annotations

from providers import CHANNELS
from rules.definition import Step
from settings import Settings
from tasks import direct_messages
from tasks.direct_messages import TO_COMMENT
from tasks.passage import Passage
from tasks.writers import chosen

#: The contact's field that a channel writes to.
ADDRESSES = {"email": "email", "sms": "phone", "facebook": "facebook_id", "instagram": "instagram_id"}


def is_to_contact(step: Step) -> bool:
    """Whether the step writes to the contact, and so moves the stage."""
    return step.channel is not None


def channel_of(step: Step) -> str:
    """The channel that a sending step speaks on."""
    if step.action == "notify":
        return str(step.with_["channel"])
    return step.channel or {"call_webhook": "webhook", "check_follow": "instagram"}[step.action]


def address_of(passage: Passage, step: Step) -> str | None:
    """Where a message to the contact goes, or None where there is no such address or comment."""
    if step.way in TO_COMMENT:
        comment = direct_messages.comment_of(passage)
        return comment.id if comment else None
    address = (passage.contact or {}).get(ADDRESSES[channel_of(step)])
    return str(address) if address else None


def provider_of(settings: Settings, passage: Passage, step: Step) -> str | None:
    """The provider of the step's outside call; None where it makes none."""
    if step.action == "generate_message":
        return chosen(passage.settings or settings, step).provider
    return CHANNELS[channel_of(step)] if step.queue == "sending" else None
