"""Ends the test runs whose process died, and removes what ended runs left behind.

A run that lives stores a sign of life every second, so silence means that its process is gone.
"""

from __future__ import annotations

import structlog

from models import test_run
from models.database import acting_as, transaction
from models.test_run import SilentRun, TestStep
from rules.test_workflows import STEP_NAMES, build_contacts

log = structlog.get_logger(__name__)

#: A run that nothing was stored about for so long has lost its process.
SILENCE_SECONDS = 30.0


def end_silent_runs(workspace_id: str | None = None) -> int:
    """End the silent runs of one workspace, or of all with the service's role; return how many."""
    if workspace_id is None:
        with transaction():
            silent = test_run.list_silent(SILENCE_SECONDS)
    else:
        with acting_as(workspace_id):
            silent = test_run.list_silent(SILENCE_SECONDS, workspace_id)
    for row in silent:
        _end(row)
    return len(silent)


def _end(row: SilentRun) -> None:
    workspace_id, run_id = row["workspace_id"], row["id"]
    removed = remove_data(workspace_id, run_id)
    reason = "The process that executed the run ended." if row["steps"] else "No worker took the run."
    steps = row["steps"] or build_steps()
    next(step for step in steps if step["status"] in ("running", "upcoming")).update(
        {"status": "failed", "detail": f"{reason} Check that every worker runs."}
    )
    skip_upcoming(steps)
    steps[-1].update({"status": "passed", "detail": describe_removal(removed), "duration_ms": None})
    if not test_run.finish(workspace_id, run_id, "failed", steps, True):
        test_run.mark_cleaned_up(workspace_id, run_id)
    log.warning("a test run was ended", test_run_id=run_id, workspace_id=workspace_id, reason=reason)


def remove_data(workspace_id: str, run_id: str) -> int:
    """Remove everything that a run made, except its row and the audit log; return the number of executions."""
    names = [contact["external_id"] for contact in build_contacts(run_id)]
    return test_run.remove_data(workspace_id, run_id, names)


def build_steps() -> list[TestStep]:
    """Return the steps of a run that has not begun."""
    return [{"name": name, "status": "upcoming", "detail": "", "duration_ms": None} for name in STEP_NAMES]


def skip_upcoming(steps: list[TestStep]) -> None:
    """Mark the steps that a run does not reach; the removal of the data is always reached."""
    for step in steps[:-1]:
        if step["status"] == "upcoming":
            step["status"] = "skipped"


def describe_removal(executions: int) -> str:
    """Describe the removal in a few words."""
    return f"{executions} {'execution' if executions == 1 else 'executions'} removed"
