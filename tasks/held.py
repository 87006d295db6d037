"""What an operator or a configuration error holds: an automation, a queue, a provider of a workspace.

Held executions wait where they are; `tasks.operators` and the scheduler wake them.
"""

from __future__ import annotations

from datetime import datetime

from tasks.passage import Passage


def held(passage: Passage, queue: str) -> bool:
    """Put the passage to rest if its automation or this queue is paused."""
    paused = passage.row["automation_paused"] or any(
        pause["kind"] == "queue" and pause["name"] == queue for pause in passage.row["pauses"] or ()
    )
    if paused:
        # What it waited for stays on its row: an event that came during the pause is not forgotten.
        passage.wait("pause", None, passage.state["wait_event"])
    return bool(paused)


def held_provider(passage: Passage, provider: str) -> bool:
    """Put the passage to rest if this provider of its workspace is paused. The sandbox is never paused."""
    pause = next(
        (one for one in passage.row["pauses"] or () if one["kind"] == "provider" and one["name"] == provider), None
    )
    if pause is None or passage.test:
        return False
    if pause["reason"] == "operator":
        passage.wait("pause", None)
        return True
    retry_at = datetime.fromisoformat(pause["retry_at"])
    if retry_at <= passage.now():
        return False
    if passage.state["misconfigured_since"] is None:
        passage.state["misconfigured_since"] = passage.now()
    passage.wait("configuration", retry_at)
    return True
