"""Checks the pauses of operators and configuration errors: of an automation, a queue, or a workspace's provider.

Paused executions wait at their stage; `tasks.operators.actions` and the scheduler wake them.
"""

from __future__ import annotations

from models.pause import OPERATORS_REASONS
from tasks.runtime import moves
from tasks.runtime.claimed_execution import ClaimedExecution


def rest_if_paused(claimed: ClaimedExecution, queue: str, *, is_running: bool = False) -> bool:
    """Make the execution wait if its automation or this queue is paused; return whether it waits.

    A queue that drains takes nothing new, and lets an execution that is already running make its next call.
    """
    is_paused = claimed.row["automation_paused"] or any(
        pause["kind"] == "queue" and pause["name"] == queue and not (is_running and pause["draining"])
        for pause in claimed.row["pauses"]
    )
    if is_paused:
        # The awaited event stays on the row, so that one during the pause is not lost.
        moves.wait(claimed, "pause", None, claimed.state["wait_event"])
    return bool(is_paused)


def rest_if_provider_paused(claimed: ClaimedExecution, provider: str) -> bool:
    """Make the execution wait if its workspace's provider is paused; the sandbox never is. Return whether it waits."""
    pause = next((row for row in claimed.row["pauses"] if row["kind"] == "provider" and row["name"] == provider), None)
    if pause is None or claimed.test:
        return False
    if pause["reason"] in OPERATORS_REASONS:
        claimed.state["provider"] = provider
        moves.wait(claimed, "pause", None)
        return True
    retry_at = pause["retry_at"]
    if retry_at is None or retry_at <= claimed.now():
        return False
    if claimed.state["misconfigured_since"] is None:
        claimed.state["misconfigured_since"] = claimed.now()
    claimed.state["provider"] = provider
    moves.wait(claimed, "configuration", retry_at)
    return True
