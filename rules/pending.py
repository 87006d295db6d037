"""Why a due execution is not running yet, in words."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkFacts:
    """What decides whether due executions are taken: the servers, the workers and the workspace's pauses."""

    redis_up: bool
    leader_up: bool
    served_queues: Set[str]
    #: Paused queues, and whether each drains.
    paused_queues: Mapping[str, bool]


def explain_pending(queue: str, *, automation_paused: bool, is_notified: bool, ahead: int, facts: WorkFacts) -> str:
    """Explain why an execution of this queue waits; `ahead` is how many of the workspace are before it there."""
    if not facts.redis_up:
        return "Redis does not answer or refuses changes, so workers are not notified"
    if queue not in facts.served_queues:
        return f"No worker serves the queue {queue}"
    if automation_paused:
        return "Its automation is paused"
    if queue in facts.paused_queues:
        return f"The queue {queue} {'drains' if facts.paused_queues[queue] else 'is paused'}"
    if not is_notified:
        return (
            "Its notification comes within a second" if facts.leader_up else "No scheduler leads, so nothing wakes it"
        )
    return f"Waits its turn behind {ahead:,}" if ahead else f"Next in the queue {queue}"
