"""Checks the pauses of operators and configuration errors: of an automation, a queue, or a workspace's provider.

Paused executions wait at their stage; `tasks.operators.actions` and the scheduler wake them.
"""

from __future__ import annotations

from models.engine.rows import PauseRow
from models.pause import OPERATORS_REASONS
from tasks.runtime import moves
from tasks.runtime.claimed_execution import ClaimedExecution


def rest_if_paused(claimed: ClaimedExecution, queue: str, *, is_running: bool = False) -> bool:
    """Make the execution wait if its automation or this queue is paused; return whether it waits.

    A queue that drains takes nothing new, and lets an execution that is already running make its next call.
    """
    if not is_paused(claimed, queue, is_running=is_running):
        return False
    # The awaited event stays on the row, so that one during the pause is not lost.
    moves.wait(claimed, "pause", None, claimed.state["wait_event"])
    return True


def is_paused(claimed: ClaimedExecution, queue: str, *, is_running: bool = False) -> bool:
    """Whether the automation or this queue is paused."""
    return claimed.row["automation_paused"] or any(
        pause["kind"] == "queue" and pause["name"] == queue and not (is_running and pause["draining"])
        for pause in claimed.row["pauses"]
    )


def rest_if_provider_paused(claimed: ClaimedExecution, provider: str) -> bool:
    """Make the execution wait if its workspace's provider is paused; the sandbox never is. Return whether it waits."""
    pause = find_provider_pause(claimed, provider)
    if pause is None:
        return False
    claimed.state["provider"] = provider
    if pause["reason"] in OPERATORS_REASONS:
        moves.wait(claimed, "pause", None)
        return True
    if claimed.state["misconfigured_since"] is None:
        claimed.state["misconfigured_since"] = claimed.now()
    moves.wait(claimed, "configuration", pause["retry_at"])
    return True


def find_provider_pause(claimed: ClaimedExecution, provider: str) -> PauseRow | None:
    """Return the pause that holds the workspace's calls of a provider now; None without one, and for tests."""
    pause = next((row for row in claimed.row["pauses"] if row["kind"] == "provider" and row["name"] == provider), None)
    if pause is None or claimed.test:
        return None
    is_over = pause["retry_at"] is None or pause["retry_at"] <= claimed.now()
    return None if is_over and pause["reason"] not in OPERATORS_REASONS else pause
