"""A person who looks at the monitor all the time while workers run and die, and compares it with the executions."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from models.database import connection, rows, snapshot
from models.reports import monitor

#: Often enough to see every stage, and seldom enough to leave the processor to the workers.
LOOK_EVERY_SECONDS = 0.2


@dataclass
class Seen:
    """What the looks came to: every stage that was shown, and every time that the monitor did not tell the truth."""

    looks: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    lies: list[str] = field(default_factory=list)


@contextmanager
def watched(workspace_id: str, automation_id: str) -> Iterator[Seen]:
    """Look again and again until the block ends."""
    seen, over = Seen(), threading.Event()

    def look_on() -> None:
        with connection():
            while not over.wait(LOOK_EVERY_SECONDS):
                _look(workspace_id, automation_id, seen)

    thread = threading.Thread(target=look_on, name="watcher", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(20)


def _look(workspace_id: str, automation_id: str, seen: Seen) -> None:
    # One moment for the monitor and for the truth.
    with snapshot():
        shown = monitor.snapshot(workspace_id, automation_id)
        truth = rows(_TRUTH, (automation_id,))
    assert shown is not None
    seen.looks += 1
    seen.stages.update(one["stage"] for one in shown["contacts"])
    counts = {one["stage"]: one["count"] for one in shown["stages"] if one["count"]}
    if counts != Counter(one["stage"] for one in truth):
        seen.lies.append(f"counted {counts}, there are {Counter(one['stage'] for one in truth)}")
    stand = {one["id"]: one for one in truth}
    seen.lies += [f"{one['execution_id']}: {found}" for one in shown["contacts"] if (found := _lie(one, stand))]


def _lie(one: dict[str, Any], stand: dict[str, Any]) -> str | None:
    """What of one contact is not so: it is elsewhere, or never entered the stage at that time."""
    true = stand[one["execution_id"]]
    told, so = ([row[name] for name in ("status", "stage", "stage_since")] for row in (one, true))
    if told != so:
        return f"shown as {told}, is {so}"
    if one["stage"] != "queued" and not true["entered"]:
        return f"never entered {one['stage']} at {one['stage_since']}"
    return None


_TRUTH = """
    select e.id, e.stage, e.status, e.stage_since, exists (
        select 1 from stage_history h
        where h.execution_id = e.id and h.stage = e.stage and h.entered_at = e.stage_since) as entered
    from executions e where e.automation_id = %s
"""
