"""Tracking over HTTP: visitors' browsers and programs report executions of playbooks, one or many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask

import metrics
from dashboard.access import current_settings
from dashboard.api import schemas
from dashboard.bodies import LARGE_BODY_LIMIT
from dashboard.errors import ProblemError, serialize_problems
from dashboard.producers import PageCaller
from dashboard.report_bodies import ParsedExecutions, read_executions
from dashboard.resource import Resource
from dashboard.responses import success
from ephemeral.rate_limits import RateLimit, try_take_in_advance
from models.ids import new_id
from models.trackable import AutomationKinds
from rules.problems import Problem
from rules.tracking import (
    ExecutionReports,
    ReportedExecution,
    TrackedExecution,
    build_tracked_execution,
)
from tasks.intake.tracked_executions import Acceptance, accept
from tasks.operators import switches

tracking = Resource("tracking")

MESSAGE = "Workflow execution tracked successfully"
_SWITCHED_OFF = "Execution tracking is switched off: nothing was stored"

TRACKED = schemas.answer(
    "TrackedExecution",
    "A tracked execution. `tracked` is false while execution tracking is switched off: nothing was stored.",
    executionId=schemas.TEXT,
    message=schemas.TEXT,
    duplicate=schemas.BOOL,
    tracked=schemas.BOOL,
)
_REJECTED = schemas.component(
    "RejectedExecution",
    "An execution of a batch that was not tracked, by its position in the batch.",
    index=schemas.COUNT,
    status=schemas.COUNT,
    errors=schemas.PROBLEMS,
)
_RESULT = schemas.component(
    "TrackedResult",
    "A tracked execution, by its position in the batch.",
    index=schemas.COUNT,
    executionId=schemas.TEXT,
    duplicate=schemas.BOOL,
)
TRACKED_BATCH = schemas.answer(
    "TrackedBatch",
    "What became of each execution of a batch.",
    accepted=schemas.COUNT,
    duplicates=schemas.COUNT,
    rejected=schemas.array_of(_REJECTED),
    results=schemas.array_of(_RESULT),
    tracked=schemas.BOOL,
)

_kinds = AutomationKinds()


@tracking.after_request
def count_refused(response: flask.Response) -> flask.Response:
    """Count a request that was refused as a whole; `_consume_limit` counts those over the limit."""
    if response.status_code in (401, 403):
        _count("unauthorized")
    elif 400 <= response.status_code < 500 and response.status_code != 429:
        _count("invalid")
    return response


@tracking.api(
    "POST",
    "/api/track-execution",
    permission="track",
    site_key=True,
    body=ReportedExecution,
    response=TRACKED,
    status=201,
    statuses=(200, 202, 404),
)
def track_execution(call: PageCaller, body: ReportedExecution) -> Any:
    """Track an execution of a playbook. A repeated `executionId` answers 200 and is not counted again."""
    _consume_limit(call, 1)
    execution = build_tracked_execution(body, new_id())
    if not _find_trackable(call, [execution]):
        problem = Problem("workflowId", _describe_unknown(call))
        raise ProblemError(404, f"{problem.message[0].upper()}{problem.message[1:]}.", [problem])
    if not _is_on(call):
        _count("switched_off")
        return _answer(202, execution.execution_id, _SWITCHED_OFF, tracked=False)
    (accepted,) = _accept(call, [execution])
    return _answer(200 if accepted.duplicate else 201, accepted.execution_id, MESSAGE, duplicate=accepted.duplicate)


def _answer(status: int, execution_id: str, message: str, *, duplicate: bool = False, tracked: bool = True) -> Any:
    return success(status, executionId=execution_id, message=message, duplicate=duplicate, tracked=tracked)


@tracking.api(
    "POST",
    "/api/track-executions",
    permission="track",
    site_key=True,
    body=ExecutionReports,
    reader=read_executions,
    response=TRACKED_BATCH,
    status=202,
    limit=LARGE_BODY_LIMIT,
)
def track_executions(call: PageCaller, body: ParsedExecutions) -> Any:
    """Track up to 500 executions of playbooks. Invalid ones are reported; the others are tracked."""
    _consume_limit(call, len(body))
    valid, rejected = _sort_entries(call, body)
    _count("invalid", len(rejected))
    is_on = _is_on(call)
    if not is_on:
        _count("switched_off", len(valid))
    results = _accept(call, list(valid.values())) if is_on else []
    duplicates = sum(result.duplicate for result in results)
    return success(
        202,
        accepted=len(results) - duplicates,
        duplicates=duplicates,
        rejected=[_serialize_rejected(index, *rejected[index]) for index in sorted(rejected)],
        results=[_serialize_result(index, result) for index, result in zip(valid, results, strict=False)],
        tracked=is_on,
    )


def _sort_entries(
    call: PageCaller, entries: ParsedExecutions
) -> tuple[dict[int, TrackedExecution], dict[int, tuple[int, list[Problem]]]]:
    """The valid executions of a batch by index; and the others, with their status and problems."""
    valid = {index: entry for index, entry in enumerate(entries) if isinstance(entry, TrackedExecution)}
    rejected = {index: (422, entry) for index, entry in enumerate(entries) if isinstance(entry, list)}
    trackable = _find_trackable(call, list(valid.values()))
    for index in [index for index, execution in valid.items() if execution.workflow_id not in trackable]:
        rejected[index] = (404, [Problem(f"executions[{index}].workflowId", _describe_unknown(call))])
        del valid[index]
    return valid, rejected


def _serialize_rejected(index: int, status: int, problems: Sequence[Problem]) -> dict[str, Any]:
    return {"index": index, "status": status, "errors": serialize_problems(problems)}


def _serialize_result(index: int, accepted: Acceptance) -> dict[str, Any]:
    return {"index": index, "executionId": accepted.execution_id, "duplicate": accepted.duplicate}


def _find_trackable(call: PageCaller, executions: Sequence[TrackedExecution]) -> set[str]:
    """Those of the executions' automations that the caller may report: with a site key only active playbooks."""
    kinds = _kinds.find(call.workspace_id, {execution.workflow_id for execution in executions})
    return {id_ for id_, kind in kinds.items() if call.site_key is None or kind == "active_playbook"}


def _describe_unknown(call: PageCaller) -> str:
    noun = "automation" if call.site_key is None else "active playbook"
    return f"there is no {noun} with this id"


def _is_on(call: PageCaller) -> bool:
    return switches.is_on(current_settings(), call.workspace_id, "execution_tracking")


def _accept(call: PageCaller, executions: Sequence[TrackedExecution]) -> list[Acceptance]:
    if not executions:
        return []
    results = accept(call.workspace_id, call.site_key.id if call.site_key else None, executions)
    duplicates = sum(result.duplicate for result in results)
    _count("accepted", len(results) - duplicates)
    _count("duplicate", duplicates)
    return results


def _consume_limit(call: PageCaller, count: int) -> None:
    """Consume `count` executions of the caller's limit. Raises `ProblemError` 429."""
    config = current_settings()
    wait = try_take_in_advance(RateLimit("tracking", config.track_rate, config.track_burst), call.limit_key, count)
    if wait:
        _count("rate_limited", count)
        raise ProblemError(429, "Too many tracked executions with this key. Slow down and retry.", retry_after=wait)


def _count(result: str, count: int = 1) -> None:
    if count:
        metrics.executions_tracked_total.labels(result=result).inc(count)
