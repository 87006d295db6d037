"""Determines a step's channel, the contact's address on it, and its provider."""

from __future__ import annotations

from rules.actions import ACTIONS
from rules.channels import ADDRESS_FIELDS, CHANNELS
from rules.definition import Step
from settings import Settings
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.steps import direct_messages
from tasks.steps.direct_messages import TO_COMMENT
from tasks.steps.model_choice import choose_model


def is_to_contact(step: Step) -> bool:
    """Whether the step messages the contact, and so moves the stage."""
    return step.channel is not None


def get_channel(step: Step) -> str:
    """Return the channel of a sending step."""
    if step.action == "notify":
        return str(step.with_["channel"])
    channel = step.channel or ACTIONS[step.action].call_channel
    if channel is None:
        raise ValueError(f"{step.action} uses no channel")
    return channel


def find_address(claimed: ClaimedExecution, step: Step) -> str | None:
    """Return the address of a message to the contact, or None without such an address or comment."""
    if step.message_kind in TO_COMMENT:
        comment = direct_messages.read_comment(claimed)
        return comment.id if comment else None
    address = (claimed.contact or {}).get(ADDRESS_FIELDS[get_channel(step)])
    return str(address) if address else None


def find_provider(settings: Settings, claimed: ClaimedExecution, step: Step) -> str | None:
    """Return the provider of the step's outside call, or None where it makes none."""
    if step.action == "generate_message":
        return choose_model(claimed.settings or settings, step).provider
    return CHANNELS[get_channel(step)].provider if step.queue == "sending" else None
