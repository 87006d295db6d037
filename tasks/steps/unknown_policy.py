"""Finds what follows where a message of unknown outcome is not found at its provider."""

from __future__ import annotations

from models import published, workspace_preferences
from models.engine.rows import StoredMessageRow
from providers.registry import SENDERS
from rules.definition import Step, parse
from rules.plan import find_step
from rules.reconciliation import WhenUnknown


def find_policy(step: Step | None, provider: str, workspace_id: str) -> WhenUnknown:
    """Return the step's policy, else the workspace's, else the provider's."""
    return (
        (step.on_unknown if step else None)
        or workspace_preferences.load_cached(workspace_id).when_unknown
        or SENDERS[provider].when_unknown
    )


def find_policy_of_message(message_row: StoredMessageRow) -> WhenUnknown:
    """Return the policy of a stored message, whose step is in its execution's version."""
    document = published.find_execution_definition(message_row["execution_id"])
    step = find_step(parse(document), message_row["step_id"]) if document else None
    # Without its step the message cannot be sent again.
    return find_policy(step, message_row["provider"], message_row["workspace_id"]) if step else "hold"
