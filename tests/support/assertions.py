"""Compares the monitor with the executions continuously, while workers run and die."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from models.database import connection, snapshot
from models.reports import monitor
from tests.support.rows import fetch_rows

#: Short enough to see every stage, long enough to leave the processor to the workers.
SAMPLE_INTERVAL_SECONDS = 0.2


@dataclass
class Observations:
    """The result of all samples: the stages that the monitor showed, and where it differed from the executions."""

    samples: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)


@contextmanager
def watch_monitor(workspace_id: str, automation_id: str) -> Iterator[Observations]:
    """Sample until the block ends."""
    observations, stopped = Observations(), threading.Event()

    def sample_until_stopped() -> None:
        with connection():
            while not stopped.wait(SAMPLE_INTERVAL_SECONDS):
                _sample(workspace_id, automation_id, observations)

    thread = threading.Thread(target=sample_until_stopped, name="watcher", daemon=True)
    thread.start()
    try:
        yield observations
    finally:
        stopped.set()
        thread.join(20)


def _sample(workspace_id: str, automation_id: str, observations: Observations) -> None:
    # One snapshot for the monitor and for the executions.
    with snapshot():
        page = monitor.fetch_snapshot(workspace_id, automation_id)
        executions = fetch_rows(_EXECUTIONS_SQL, (automation_id,))
    assert page is not None
    observations.samples += 1
    observations.stages.update(contact["stage"] for contact in page["contacts"])
    counts = {stage["stage"]: stage["count"] for stage in page["stages"] if stage["count"]}
    if counts != Counter(execution["stage"] for execution in executions):
        observations.mismatches.append(
            f"counted {counts}, there are {Counter(execution['stage'] for execution in executions)}"
        )
    by_id = {execution["id"]: execution for execution in executions}
    observations.mismatches += [
        f"{contact['execution_id']}: {mismatch}"
        for contact in page["contacts"]
        if (mismatch := _find_mismatch(contact, by_id))
    ]


def _find_mismatch(contact: dict[str, Any], by_id: dict[str, Any]) -> str | None:
    """How the monitor differs for one contact: another stage, or one that it never entered at that time."""
    execution = by_id[contact["execution_id"]]
    reported, actual = ([row[name] for name in ("status", "stage", "stage_since")] for row in (contact, execution))
    if reported != actual:
        return f"reported as {reported}, is {actual}"
    if contact["stage"] != "queued" and not execution["entered"]:
        return f"never entered {contact['stage']} at {contact['stage_since']}"
    return None


_EXECUTIONS_SQL = """
    select e.id, e.stage, e.status, e.stage_since, exists (
        select 1 from stage_history h
        where h.execution_id = e.id and h.stage = e.stage and h.entered_at = e.stage_since) as entered
    from executions e where e.automation_id = %s
"""
