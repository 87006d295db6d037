"""Test runs over HTTP: start one, and follow its steps."""

from __future__ import annotations

from typing import Any

from dashboard.access import Caller, current_settings
from dashboard.api import schemas
from dashboard.errors import not_found
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import test_run
from models.ids import is_id
from models.test_run import TestRunRow
from tasks.operators import test_runs as task
from tasks.test_run_sweep import build_steps

test_runs = Resource("test-runs")

_STEP = schemas.record(
    name=schemas.TEXT,
    status={"enum": ["upcoming", "running", "passed", "failed", "skipped"]},
    detail=schemas.TEXT,
    durationMs=schemas.nullable(schemas.COUNT),
)
_RESPONSE = {
    "testRun": schemas.record(
        id=schemas.ID,
        status={"enum": ["running", "passed", "failed"]},
        steps=schemas.array_of(_STEP),
        cleanedUp=schemas.BOOL,
        startedBy=schemas.TEXT,
        startedAt=schemas.TIME,
        finishedAt=schemas.nullable(schemas.TIME),
    )
}


@test_runs.api("POST", "/api/test-runs", permission="write", response=_RESPONSE, status=202, statuses=(409,))
def start_test_run(call: Caller) -> Any:
    """Start a test run. 409 while another one of the workspace runs, or without a sandbox."""
    run_id = task.start(current_settings(), call.workspace_id, call.actor)
    task.enqueue(run_id)
    return success(202, testRun=_serialize(require_test_run(call, run_id)))


@test_runs.api("GET", "/api/test-runs/{run_id}", permission="read", response=_RESPONSE)
def show_test_run(call: Caller, run_id: str) -> Any:
    """Get a test run with its steps."""
    return success(testRun=_serialize(require_test_run(call, run_id)))


def require_test_run(call: Caller, run_id: str) -> TestRunRow:
    """The caller's test run. Raises `ProblemError` 404."""
    run = test_run.find(call.workspace_id, run_id) if is_id(run_id) else None
    if run is None:
        raise not_found("There is no test run with that id.")
    return {**run, "steps": run["steps"] or build_steps()}


def _serialize(run: TestRunRow) -> dict[str, Any]:
    fields = {name: value for name, value in run.items() if name not in ("steps", "cancel_requested")}
    return {**to_api_fields(fields), "steps": [to_api_fields(step) for step in run["steps"]]}
