"""Runs a temporary workflow through the real queue and the sandbox, verifies every stage, and removes it again.

    workflow → trigger → each stage in order → message at the sandbox → counters unchanged → cleanup

Each result is yielded as it happens. The workflow is turned off, so no real trigger can start it, and its execution is
a test, so it cannot reach a real provider.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from models import automation, test_run
from models.audit import AuditActor
from models.ids import new_id
from models.reports import automations, executions
from models.reports.executions import ExecutionDetail
from rules.json_text import load_json
from settings import Settings
from tasks.intake.triggers import AcceptedTrigger, TriggerRequest, accept

#: Seconds between two reads of the execution.
POLL_SECONDS = 0.05
#: The stages that the workflow passes, in order.
STAGES = ("queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed")

WORKFLOW: dict[str, Any] = {
    "trigger": {"type": "manual"},
    "steps": [
        {
            "id": "write",
            "action": "generate_message",
            "with": {"prompt": "Greet {{ contact.first_name }} in one sentence.", "max_tokens": 100},
        },
        {
            "id": "send",
            "action": "send_email",
            "with": {"subject": "A test for {{ contact.first_name }}", "body": "{{ steps.write.text }}"},
        },
    ],
}


@dataclass(frozen=True)
class StepResult:
    """One step of a test run, and how long it took."""

    name: str
    status: Literal["passed", "failed"]
    detail: str
    duration_ms: int


class _StepFailed(Exception):
    """Why a step failed; the steps after it are skipped, except the cleanup."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


def run(settings: Settings, workspace_id: str, actor: AuditActor, timeout_seconds: float) -> Iterator[StepResult]:
    """Test a workspace from its trigger to its message; yield each step's result, `cleanup` last."""
    run_id = new_id()
    address = f"test-{run_id}@example.com"
    automation_id = contact_id = None
    stopwatch = _Stopwatch()
    try:
        definition = automation.create(
            workspace_id, name=f"Test run {run_id}", type="workflow", definition=WORKFLOW, actor=actor, enabled=False
        )
        automation_id = definition.automation_id
        yield stopwatch.build_passed("workflow", "published, turned off")
        accepted = _start(workspace_id, automation_id, address)
        contact_id, execution_id = accepted.contact_id, accepted.executions[0]["executionId"]
        yield stopwatch.build_passed("trigger", f"accepted, execution {execution_id}")
        yield from _follow_stages(stopwatch, workspace_id, execution_id, timeout_seconds)
        yield stopwatch.build_passed("message", _check_received(settings, workspace_id, execution_id, address))
        yield stopwatch.build_passed("counters", _check_counters(workspace_id, automation_id))
    except _StepFailed as failed:
        yield stopwatch.build_result(failed.name, "failed", str(failed))
    finally:
        removed = test_run.remove(workspace_id, automation_id, contact_id) if automation_id else 0
    yield stopwatch.build_passed("cleanup", f"removed, {removed} execution with it")


class _Stopwatch:
    """Measures each step from the end of the previous one, unless the step brings its own time."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def build_result(
        self, name: str, status: Literal["passed", "failed"], detail: str, took_ms: int | None = None
    ) -> StepResult:
        now = time.monotonic()
        measured, self._since = round((now - self._since) * 1000), now
        return StepResult(name, status, detail, measured if took_ms is None else took_ms)

    def build_passed(self, name: str, detail: str, took_ms: int | None = None) -> StepResult:
        return self.build_result(name, "passed", detail, took_ms)


def _start(workspace_id: str, automation_id: str, address: str) -> AcceptedTrigger:
    request = TriggerRequest(
        type="manual",
        contact_id=None,
        contact={"first_name": "Tess", "email": address},
        payload={},
        automation_id=automation_id,
        test=True,
    )
    result = accept(workspace_id, [request], "test")[0]
    if not isinstance(result, AcceptedTrigger):
        raise _StepFailed("trigger", "; ".join(problem.message for problem in result.problems))
    return result


def _follow_stages(
    stopwatch: _Stopwatch, workspace_id: str, execution_id: str, timeout_seconds: float
) -> Iterator[StepResult]:
    """Yield each stage as it is reached, and check the order."""
    deadline = time.monotonic() + timeout_seconds
    passed = 0
    while passed < len(STAGES):
        execution = executions.fetch_detail(workspace_id, execution_id)
        assert execution is not None
        for stage in execution["stages"][passed:]:
            if passed == len(STAGES) or stage["stage"] != STAGES[passed]:
                raise _StepFailed(stage["stage"], _explain(execution))
            took = execution["stages"][passed - 1]["duration_ms"] if passed else 0
            yield stopwatch.build_passed(stage["stage"], "reached", took_ms=took)
            passed += 1
        if passed < len(STAGES) and time.monotonic() > deadline:
            raise _StepFailed(STAGES[passed], f"not reached within {timeout_seconds:g} s: is every worker running?")
        time.sleep(POLL_SECONDS)


def _explain(execution: ExecutionDetail) -> str:
    error, skipped = execution["error"], execution["skipped_because"]
    if error:
        return f"{error['class']}: {error['message']}"
    return f"skipped by {skipped['rule']}" if skipped else "reached out of order"


def _check_received(settings: Settings, workspace_id: str, execution_id: str, address: str) -> str:
    execution = executions.fetch_detail(workspace_id, execution_id)
    assert execution is not None
    (message,) = execution["messages"]
    if message["status"] not in ("sent", "delivered", "read") or not message["sandbox"]:
        raise _StepFailed(
            "message", f"is {message['status']}, by {'the sandbox' if message['sandbox'] else 'a provider'}"
        )
    query = urllib.parse.urlencode({"provider": message["provider"], "to": address})
    try:
        with urllib.request.urlopen(f"{settings.sandbox_url}/_sandbox/messages?{query}", timeout=5) as response:
            messages = load_json(response.read())["messages"]
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise _StepFailed("message", f"the sandbox does not respond: {error}") from None
    if len(messages) != 1:
        raise _StepFailed("message", f"the sandbox received it {len(messages)} times")
    return f"received once by the sandbox as {message['provider']}, id {message['provider_message_id']}"


def _check_counters(workspace_id: str, automation_id: str) -> str:
    automation_row = automations.find(workspace_id, automation_id)
    assert automation_row is not None
    if automation_row["executions"]:
        raise _StepFailed("counters", f"the test was counted {automation_row['executions']} times")
    return "the test was not counted"
