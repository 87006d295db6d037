"""Changes the step rows of a claimed execution: an attempt begins, succeeds, fails or is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.engine.records import CountRun
from models.engine.rows import StepRow
from models.ids import new_id
from rules.definition import Step
from rules.plan import find_step
from rules.runs import find_run_kind
from rules.stages import StepStatus
from tasks.runtime.claimed_execution import ClaimedExecution


def begin(claimed: ClaimedExecution, step: Step) -> StepRow:
    """Start an attempt of a step and count it."""
    row: StepRow = claimed.steps.get(step.id) or {
        "execution_id": claimed.execution_id,
        "step_id": step.id,
        "round": claimed.round,
        "action": step.action,
        "attempts": 0,
        "started_at": None,
        "failures": [],
    }
    row.update({"status": "running", "attempts": row["attempts"] + 1, "started_at": claimed.now()})
    row.update({"finished_at": None, "execution_time_ms": None, "output": None, "error": None})
    claimed.steps[step.id] = claimed.changes.steps[step.id] = row
    return row


def succeed(claimed: ClaimedExecution, step: Step, output: Mapping[str, Any], status: StepStatus = "succeeded") -> None:
    """Finish a step with its output; `status` may be "skipped"."""
    row = _ensure_started(claimed, step)
    _finish(claimed, row, status)
    row["output"] = dict(output)
    if status == "succeeded":
        _count_run(claimed, step)
    # An earlier failure no longer holds for the execution; failed attempts stay with their step.
    claimed.state.update({"error_class": None, "error_message": None, "error_code": None, "provider": None})
    claimed.state.update({"failed_step": None, "next_retry_at": None, "rate_limited_since": None})


def fail(claimed: ClaimedExecution, step: Step, error: Mapping[str, Any]) -> None:
    """Record a failed attempt; the step may be retried."""
    row = _ensure_started(claimed, step)
    _finish(claimed, row, "failed")
    row["error"] = dict(error)
    row["failures"] = [*row["failures"], {"at": claimed.now(), **error}]


def undo_attempt(claimed: ClaimedExecution, step: Step) -> None:
    """Take the attempt back: a rate limit, a configuration error or a shutdown uses up none."""
    row = _ensure_started(claimed, step)
    row.update({"status": "pending", "attempts": max(0, row["attempts"] - 1)})


def count_run_of_resolved_step(claimed: ClaimedExecution) -> None:
    """Count a step that ended while no process held the execution: by a callback, reconciliation or an operator."""
    if claimed.test or claimed.state["run_kind"] is not None:
        return
    for row in claimed.steps.values():
        step = find_step(claimed.workflow, row["step_id"]) if row["status"] == "succeeded" else None
        if step is not None:
            _count_run(claimed, step)


def _count_run(claimed: ClaimedExecution, step: Step) -> None:
    """Record the first step that counts as a run; a test execution has none."""
    kind = find_run_kind(step.action, step.with_)
    if kind is None or claimed.test or claimed.state["run_kind"] is not None:
        return
    claimed.state["run_kind"] = kind
    claimed.changes.run = CountRun(new_id(), kind, claimed.now())


def _ensure_started(claimed: ClaimedExecution, step: Step) -> StepRow:
    row = claimed.steps.get(step.id) or begin(claimed, step)
    claimed.changes.steps[step.id] = row
    return row


def _finish(claimed: ClaimedExecution, row: StepRow, status: StepStatus) -> None:
    at = claimed.now()
    elapsed = at - (row["started_at"] or at)
    row.update({"status": status, "finished_at": at, "execution_time_ms": int(elapsed.total_seconds() * 1000)})
