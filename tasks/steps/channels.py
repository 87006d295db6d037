"""Determines a step's channel, the contact's address on it, and its provider."""

from __future__ import annotations

from providers import CHANNELS
from rules.definition import Step
from settings import Settings
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.steps import direct_messages
from tasks.steps.direct_messages import TO_COMMENT
from tasks.steps.model_choice import choose_model

#: The contact's field with its address on each channel.
ADDRESS_FIELDS = {"email": "email", "sms": "phone", "facebook": "facebook_id", "instagram": "instagram_id"}


def is_to_contact(step: Step) -> bool:
    """Whether the step messages the contact, and so moves the stage."""
    return step.channel is not None


def get_channel(step: Step) -> str:
    """Return the channel of a sending step."""
    if step.action == "notify":
        return str(step.with_["channel"])
    return step.channel or {"call_webhook": "webhook", "check_follow": "instagram"}[step.action]


def find_address(claimed: ClaimedExecution, step: Step) -> str | None:
    """Return the address of a message to the contact, or None without such an address or comment."""
    if step.way in TO_COMMENT:
        comment = direct_messages.read_comment(claimed)
        return comment.id if comment else None
    address = (claimed.contact or {}).get(ADDRESS_FIELDS[get_channel(step)])
    return str(address) if address else None


def find_provider(settings: Settings, claimed: ClaimedExecution, step: Step) -> str | None:
    """Return the provider of the step's outside call, or None where it makes none."""
    if step.action == "generate_message":
        return choose_model(claimed.settings or settings, step).provider
    return CHANNELS[get_channel(step)] if step.queue == "sending" else None
