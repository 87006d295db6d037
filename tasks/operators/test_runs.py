"""Test runs: three temporary workflows go through the real queues and the sandbox, are verified, and are removed.

    start → (a worker or the command) execute → each step in order → removal of the data, even after a failure

Every change of a step is stored, so a page follows the run. The process that executes it may die at any moment: a sweep
then removes the data and marks the run failed. `tasks.operators.test_run_steps` has the steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import structlog

from models import test_run
from models.audit import AuditActor
from models.database import CONNECTION_ERRORS
from models.test_run import TestStep
from settings import Settings
from tasks.operators.sandbox_client import SandboxUnavailable
from tasks.operators.test_run_steps import STEPS, StepFailed, TestRunContext
from tasks.operators.test_triggers import require_sandbox
from tasks.runtime.notifications import enqueue_actor
from tasks.test_run_sweep import build_steps, describe_removal, end_silent_runs, remove_data, skip_upcoming

log = structlog.get_logger(__name__)

#: Seconds that a step waits for the executions.
STEP_TIMEOUT_SECONDS = 20.0
#: Seconds between two stored signs of life within a step.
BEAT_SECONDS = 1.0


class _Ended(Exception):
    """The run must not go on: it was cancelled, or the sweep has ended it."""


def start(settings: Settings, workspace_id: str, actor: AuditActor) -> str:
    """Create a test run; return its id. Raises `Conflict` while another one runs, or without a sandbox."""
    require_sandbox(settings)
    # The scheduler, which sweeps, may be down.
    end_silent_runs(workspace_id)
    return test_run.create(workspace_id, actor)


def enqueue(run_id: str) -> None:
    """Let a worker execute the run. Without Redis the sweep marks it failed."""
    enqueue_actor("tracking", "execute_test_run", run_id)


def execute(
    settings: Settings, workspace_id: str, run_id: str, timeout_seconds: float = STEP_TIMEOUT_SECONDS
) -> Iterator[TestStep]:
    """Execute a run that no process has begun; yield each step when it ends, the removal of the data last."""
    execution = _Execution(settings, workspace_id, run_id, timeout_seconds)
    if test_run.claim(workspace_id, run_id, execution.steps):
        yield from execution.run()


class _Execution:
    """One process's execution of a run."""

    def __init__(self, settings: Settings, workspace_id: str, run_id: str, timeout_seconds: float) -> None:
        self.workspace_id = workspace_id
        self.run_id = run_id
        self.steps = build_steps()
        self._current = self.steps[0]
        self._began = self._beat_at = 0.0
        self._context = TestRunContext(settings, workspace_id, run_id, timeout_seconds, self._beat)

    def run(self) -> Iterator[TestStep]:
        try:
            for step, function in zip(self.steps[:-1], STEPS, strict=True):
                self._run_step(step, lambda function=function: function(self._context))  # type: ignore[misc]
                yield step
                if step["status"] == "failed":
                    break
        finally:
            # Also when the caller stops reading, as at a shutdown.
            self._clean_up()
        yield self.steps[-1]

    def _run_step(self, step: TestStep, function: Callable[[], str]) -> None:
        began = time.monotonic()
        self._current, self._began = step, began
        step["status"] = "running"
        try:
            self._save()
            step.update({"status": "passed", "detail": function()})
        except (StepFailed, SandboxUnavailable, _Ended) as error:
            step.update({"status": "failed", "detail": str(error)})
        except CONNECTION_ERRORS as error:
            step.update({"status": "failed", "detail": f"PostgreSQL does not respond: {str(error).strip()}"})
        except Exception as error:
            log.exception("a step of a test run failed", test_run_id=self.run_id, step=step["name"])
            step.update({"status": "failed", "detail": f"{type(error).__name__}: {error}"})
        step["duration_ms"] = round((time.monotonic() - began) * 1000)

    def _beat(self, detail: str) -> None:
        """Store the run if its current step has another detail, or after some silence; end it if it must end."""
        now = time.monotonic()
        if detail == self._current["detail"] and now - self._beat_at < BEAT_SECONDS:
            return
        self._current["detail"] = detail
        self._current["duration_ms"] = round((now - self._began) * 1000)
        self._save()

    def _save(self) -> None:
        self._beat_at = time.monotonic()
        cancelled = test_run.save(self.workspace_id, self.run_id, self.steps)
        if cancelled is None:
            raise _Ended("The run was ended by another process.")
        if cancelled:
            raise _Ended("Cancelled.")

    def _clean_up(self) -> None:
        skip_upcoming(self.steps)
        step = self.steps[-1]
        self._run_removal(step)
        passed = all(step["status"] == "passed" for step in self.steps)
        test_run.finish(
            self.workspace_id, self.run_id, "passed" if passed else "failed", self.steps, step["status"] == "passed"
        )

    def _run_removal(self, step: TestStep) -> None:
        began = time.monotonic()
        step["status"] = "running"
        try:
            removed = remove_data(self.workspace_id, self.run_id)
            step.update({"status": "passed", "detail": describe_removal(removed)})
        except Exception as error:
            # The sweep removes what is left.
            log.exception("the data of a test run was not removed", test_run_id=self.run_id)
            step.update({"status": "failed", "detail": f"{type(error).__name__}: {error}"})
        step["duration_ms"] = round((time.monotonic() - began) * 1000)
