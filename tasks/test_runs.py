"""The test runner: a workflow made for it goes through the real queue and the sandbox, every stage is verified, and
all of it is taken back.

    workflow → trigger → each stage in order → message at the sandbox → counters untouched → cleanup

Results come step by step as they happen. The workflow is switched off, so no real trigger can start it, and its
execution is a test, so it can reach no real provider.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from models import automation, test_run
from models.audit import Actor
from models.database import Row
from models.ids import new_id
from models.reports import automations, executions
from settings import Settings
from tasks.triggers import Accepted, TriggerRequest, accept

#: Seconds between two looks at the execution.
LOOK_EVERY_SECONDS = 0.05
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
class Verdict:
    """One step of a test run, and how long it took."""

    name: str
    status: Literal["passed", "failed"]
    detail: str
    duration_ms: int


class _Failed(Exception):
    """Why a step did not pass; those after it are left out, the cleanup is not."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


def run(settings: Settings, workspace_id: str, actor: Actor, patience_seconds: float) -> Iterator[Verdict]:
    """Test a workspace from its trigger to its message; each step's verdict as it is reached, the last is `cleanup`."""
    run_id = new_id()
    address = f"test-{run_id}@example.com"
    automation_id = contact_id = None
    watch = _Watch()
    try:
        definition = automation.create(
            workspace_id, name=f"Test run {run_id}", type="workflow", definition=WORKFLOW, actor=actor, enabled=False
        )
        automation_id = definition.automation_id
        yield watch.passed("workflow", "published, switched off")
        accepted = _start(workspace_id, automation_id, address)
        contact_id, execution_id = accepted.contact_id, accepted.executions[0]["executionId"]
        yield watch.passed("trigger", f"accepted, execution {execution_id}")
        yield from _stages(watch, workspace_id, execution_id, patience_seconds)
        yield watch.passed("message", _received(settings, workspace_id, execution_id, address))
        yield watch.passed("counters", _untouched(workspace_id, automation_id))
    except _Failed as failed:
        yield watch.verdict(failed.name, "failed", str(failed))
    finally:
        removed = test_run.remove(workspace_id, automation_id, contact_id) if automation_id else 0
    yield watch.passed("cleanup", f"removed, {removed} execution with it")


class _Watch:
    """Measures each step from the end of the one before, unless it was measured better."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def verdict(
        self, name: str, status: Literal["passed", "failed"], detail: str, took_ms: int | None = None
    ) -> Verdict:
        now = time.monotonic()
        measured, self._since = round((now - self._since) * 1000), now
        return Verdict(name, status, detail, measured if took_ms is None else took_ms)

    def passed(self, name: str, detail: str, took_ms: int | None = None) -> Verdict:
        return self.verdict(name, "passed", detail, took_ms)


def _start(workspace_id: str, automation_id: str, address: str) -> Accepted:
    request = TriggerRequest(
        type="manual",
        contact_id=None,
        contact={"first_name": "Tess", "email": address},
        payload={},
        automation_id=automation_id,
        test=True,
    )
    answer = accept(workspace_id, [request], "test")[0]
    if not isinstance(answer, Accepted):
        raise _Failed("trigger", "; ".join(problem.message for problem in answer.problems))
    return answer


def _stages(watch: _Watch, workspace_id: str, execution_id: str, patience_seconds: float) -> Iterator[Verdict]:
    """Each stage as it is reached, in the order that they must have."""
    deadline = time.monotonic() + patience_seconds
    passed = 0
    while passed < len(STAGES):
        found = executions.detail(workspace_id, execution_id)
        assert found is not None
        for one in found["stages"][passed:]:
            if passed == len(STAGES) or one["stage"] != STAGES[passed]:
                raise _Failed(one["stage"], _why(found))
            took = found["stages"][passed - 1]["duration_ms"] if passed else 0
            yield watch.passed(one["stage"], "reached", took_ms=took)
            passed += 1
        if passed < len(STAGES) and time.monotonic() > deadline:
            raise _Failed(STAGES[passed], f"not reached within {patience_seconds:g} s: is every worker running?")
        time.sleep(LOOK_EVERY_SECONDS)


def _why(found: Row) -> str:
    error, skipped = found["error"], found["skipped_because"]
    if error:
        return f"{error['class']}: {error['message']}"
    return f"skipped by {skipped['rule']}" if skipped else "was not to be reached now"


def _received(settings: Settings, workspace_id: str, execution_id: str, address: str) -> str:
    found = executions.detail(workspace_id, execution_id)
    assert found is not None
    (message,) = found["messages"]
    if message["status"] not in ("sent", "delivered", "read") or not message["sandbox"]:
        raise _Failed("message", f"is {message['status']}, by {'the sandbox' if message['sandbox'] else 'a provider'}")
    query = urllib.parse.urlencode({"provider": message["provider"], "to": address})
    try:
        with urllib.request.urlopen(f"{settings.sandbox_url}/_sandbox/messages?{query}", timeout=5) as answer:
            received = json.load(answer)["messages"]
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise _Failed("message", f"the sandbox cannot be asked: {error}") from None
    if len(received) != 1:
        raise _Failed("message", f"the sandbox received it {len(received)} times")
    return f"received once by the sandbox as {message['provider']}, id {message['provider_message_id']}"


def _untouched(workspace_id: str, automation_id: str) -> str:
    found = automations.one(workspace_id, automation_id)
    assert found is not None
    if found["executions"]:
        raise _Failed("counters", f"the test was counted {found['executions']} times")
    return "the test was not counted"
