"""The steps of a test run: what each does or verifies, in order.

A step returns what it found in a few words, or raises `StepFailed` with the reason. It waits through
`TestRunContext.wait_for`, which keeps the run alive and ends it when it is cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ephemeral.connection import ERRORS as REDIS_ERRORS
from models import execution, sample_contact, test_run
from models.database import acting_as
from models.reports import executions
from models.reports.executions import ExecutionDetail
from models.selection import select_one
from providers.registry import PROVIDERS
from rules import samples
from rules.channels import NOTICE_CHANNELS
from rules.stages import FINISHED
from rules.test_workflows import COMMENT, EVENT, RETRY, WELCOME, WORKFLOWS, TestWorkflow, build_contacts
from rules.trigger_requests import TriggerRequest
from settings import Settings
from tasks.health.facts import read_processes
from tasks.intake.triggers import RejectedTrigger, accept
from tasks.operators import sandbox_client
from tasks.runtime.broker import EXECUTION_QUEUES
from tasks.runtime.notifications import notify_after_commit
from tasks.steps.accounts import resolve_account

#: Seconds between two looks at the executions.
POLL_SECONDS = 0.05
#: The sends of the last workflow that the sandbox refuses: as many as one call makes.
REFUSED_SENDS = 3

T = TypeVar("T")


class StepFailed(Exception):
    """Why a step failed; the steps after it are skipped, except the removal of the data."""


@dataclass
class TestRunContext:
    """What the steps of one run share. `beat` stores the run with the current step's detail; it raises when the run
    must end."""

    __test__ = False

    settings: Settings
    workspace_id: str
    run_id: str
    timeout_seconds: float
    beat: Callable[[str], None]
    contacts: list[dict[str, Any]] = field(default_factory=list)
    contact_ids: list[str] = field(default_factory=list)
    automations: dict[str, str] = field(default_factory=dict)
    executions: dict[str, str] = field(default_factory=dict)

    def read(self, name: str) -> ExecutionDetail:
        """Return the current state of an execution, by its workflow's name or `skipped`."""
        detail = executions.fetch_detail(self.workspace_id, self.executions[name])
        if detail is None:
            raise StepFailed("An execution of the run is gone.")
        return detail

    def wait_for(self, read: Callable[[], T | None], describe: Callable[[], str]) -> T:
        """Return the first result of `read` that is not None; `describe` says what is missing."""
        deadline = time.monotonic() + self.timeout_seconds
        while True:
            result = read()
            if result is not None:
                return result
            self.beat(describe())
            if time.monotonic() > deadline:
                raise StepFailed(
                    f"{describe()} after {self.timeout_seconds:g} s. Check that the scheduler and every worker run."
                )
            time.sleep(POLL_SECONDS)


def check_servers(run: TestRunContext) -> str:
    """Check that PostgreSQL, Redis, the sandbox and a worker for each queue respond."""
    try:
        workers = [process for process in read_processes().live if process.queues]
    except REDIS_ERRORS as error:
        raise StepFailed(f"Redis does not respond, or refuses changes: {error}") from None
    missing = set(EXECUTION_QUEUES) - {queue for worker in workers for queue in worker.queues}
    if missing:
        raise StepFailed(f"No worker serves {', '.join(sorted(missing))}. Start it with `beckon worker`.")
    sandbox_client.ping(run.settings.sandbox_url)
    return f"{len(workers)} worker {'process' if len(workers) == 1 else 'processes'}"


def create_workflows(run: TestRunContext) -> str:
    """Create and publish the workflows; no list shows them, and no other trigger starts them."""
    for workflow in WORKFLOWS:
        run.automations[workflow.name] = test_run.create_automation(
            run.workspace_id, run.run_id, f"Test run: {workflow.name}", workflow.definition
        )
    return "every action, waits of 1 s"


def create_contacts(run: TestRunContext) -> str:
    """Create two sample contacts, of which the second lacks the tag of the first workflow."""
    run.contacts = build_contacts(run.run_id)
    run.contact_ids = sample_contact.ensure(run.workspace_id, run.contacts)
    return "reachable on every channel"


def send_triggers(run: TestRunContext) -> str:
    """Start the workflows, one of them for the second contact too; the last one's e-mail will be refused at first."""
    first, second = run.contact_ids
    sandbox_client.add_fault(
        run.settings.sandbox_url, "mailgun", "http_429", to=run.contacts[1]["email"], times=REFUSED_SENDS
    )
    comment = samples.build_payload(COMMENT.definition)
    comment["comment"]["id"] = f"test-run-{run.run_id}"
    sends: list[tuple[str, TestWorkflow, str, str, Mapping[str, Any]]] = [
        ("welcome", WELCOME, EVENT, first, samples.build_payload(WELCOME.definition)),
        ("skipped", WELCOME, EVENT, second, samples.build_payload(WELCOME.definition)),
        ("comment", COMMENT, "instagram.comment", first, comment),
        ("retry", RETRY, EVENT, second, {}),
    ]
    requests = [
        TriggerRequest(type_, contact_id, None, payload, automation_id=run.automations[workflow.name], test=True)
        for _, workflow, type_, contact_id, payload in sends
    ]
    for (name, *_), result in zip(sends, accept(run.workspace_id, requests, "test"), strict=True):
        if isinstance(result, RejectedTrigger):
            raise StepFailed("; ".join(problem.message for problem in result.problems))
        run.executions[name] = result.executions[0]["executionId"]
    return f"{len(requests)} executions"


def wait_until_claimed(run: TestRunContext) -> str:
    """Wait until a worker has taken every execution from the queue."""

    def count_unclaimed() -> int:
        return sum(run.read(name)["started_at"] is None for name in run.executions)

    run.wait_for(lambda: None if count_unclaimed() else True, lambda: f"{count_unclaimed()} not claimed")
    return f"{len(run.executions)} executions"


def check_rules(run: TestRunContext) -> str:
    """Wait for the verdict of the rules: the second contact is skipped for its tags, the others are eligible."""
    skipped = _wait_until_finished(run, "skipped")
    reason = skipped["skipped_because"]
    if skipped["status"] != "skipped" or reason is None or reason["rule"] != "tags":
        raise StepFailed(f"A contact without the tag is {skipped['status']} and should be skipped.")
    run.wait_for(lambda: _find_all_eligible(run), lambda: "Rules not checked")
    return f"{len(WORKFLOWS)} eligible, 1 skipped as expected"


def _wait_until_finished(run: TestRunContext, name: str) -> ExecutionDetail:
    return run.wait_for(lambda: _find_finished(run, name), lambda: "Not finished")


def _find_finished(run: TestRunContext, name: str) -> ExecutionDetail | None:
    detail = run.read(name)
    return detail if detail["status"] in FINISHED else None


def _find_all_eligible(run: TestRunContext) -> bool | None:
    """Return True once the rules of every workflow have passed."""
    for workflow in WORKFLOWS:
        detail = run.read(workflow.name)
        if all(item["stage"] != "eligible" for item in detail["stages"]):
            _require_alive(detail)
            return None
    return True


def _require_alive(detail: ExecutionDetail) -> None:
    """Raise `StepFailed` for an execution that failed or waits for an operator."""
    error = detail["error"]
    if error and (detail["status"] == "failed" or detail["waiting_for"] in ("configuration", "pause")):
        raise StepFailed(error["message"])
    if detail["status"] in ("skipped", "cancelled"):
        reason = detail["skipped_because"]
        raise StepFailed(f"An execution is {detail['status']} by the rule {reason['rule'] if reason else 'unknown'}.")


def check_generated(run: TestRunContext) -> str:
    """Wait for the generated text."""
    step = run.wait_for(lambda: _find_succeeded(run, "welcome", "write"), lambda: "No text yet")
    output = step["output"] or {}
    if not str(output.get("text") or "").strip():
        raise StepFailed("The generated text is empty.")
    return f"sandbox, {output.get('model')}"


def _find_succeeded(run: TestRunContext, name: str, step_id: str) -> Any | None:
    detail = run.read(name)
    step = next((step for step in detail["steps"] if step["id"] == step_id), None)
    if step is not None and step["status"] == "succeeded":
        return step
    _require_alive(detail)
    return None


def check_sent(run: TestRunContext) -> str:
    """Wait for the messages before the waits, on every channel that reaches a contact."""
    sends = [(workflow.name, step_id) for workflow in WORKFLOWS for step_id in workflow.first_sends]

    def count_sent() -> int:
        return sum(_find_succeeded(run, name, step_id) is not None for name, step_id in sends)

    run.wait_for(lambda: True if count_sent() == len(sends) else None, lambda: f"{count_sent()} of {len(sends)} sent")
    return f"{len(sends)} sent, sandbox"


#: The step that each workflow reaches after its wait.
_AFTER_WAIT = {"welcome": "fork", "comment": "answer", "retry": "variant"}


def check_waits(run: TestRunContext) -> str:
    """Wait until every workflow has passed its wait and chosen its path."""

    def count_passed() -> int:
        return sum(_find_succeeded(run, name, step_id) is not None for name, step_id in _AFTER_WAIT.items())

    def describe() -> str:
        passed = count_passed()
        verb = "has passed its wait" if passed == 1 else "have passed their waits"
        return f"{passed} of {len(WORKFLOWS)} workflows {verb}"

    run.wait_for(lambda: True if count_passed() == len(WORKFLOWS) else None, describe)
    forks = {name: _find_succeeded(run, name, step_id) for name, step_id in _AFTER_WAIT.items()}
    taken = {name: fork["output"]["taken"] for name, fork in forks.items() if fork}
    if taken["welcome"] != "then" or taken["comment"] != "else":
        raise StepFailed(f"A workflow took another path: {taken['welcome']} and {taken['comment']}.")
    return f"then, else, variant {taken['retry']}"


def check_records(run: TestRunContext) -> str:
    """Verify the finished executions: stages in order, times, steps, messages received once, and no trace elsewhere."""
    for workflow in (WELCOME, COMMENT):
        _verify(run, workflow, _wait_until_finished(run, workflow.name))
    traces = test_run.find_traces(run.workspace_id, list(run.automations.values()), run.contact_ids)
    if traces:
        raise StepFailed(f"The test was counted or changed something: {', '.join(traces)}.")
    return "in order, messages once, nothing counted"


def _verify(run: TestRunContext, workflow: TestWorkflow, detail: ExecutionDetail) -> None:
    if detail["status"] != "succeeded":
        _require_alive(detail)
        raise StepFailed(f"The workflow {workflow.name} is {detail['status']}.")
    stages = [item["stage"] for item in detail["stages"]]
    if stages != list(workflow.stages):
        raise StepFailed(f"The stages of {workflow.name} were {', '.join(stages)}.")
    times = [item["entered_at"] for item in detail["stages"]]
    if times != sorted(times) or detail["execution_time_ms"] is None:
        raise StepFailed(f"The times of {workflow.name} are not in order.")
    unfinished = [step["id"] for step in detail["steps"] if step["status"] != "succeeded"]
    if unfinished:
        raise StepFailed(f"Steps of {workflow.name} did not succeed: {', '.join(unfinished)}.")
    for message in detail["messages"]:
        _verify_message(run, detail["id"], message)


def _verify_message(run: TestRunContext, execution_id: str, message: Mapping[str, Any]) -> None:
    """Verify that the sandbox received a message exactly once. It files notices by provider and webhooks by URL."""
    to = message["provider"] if message["channel"] in NOTICE_CHANNELS else message["to"]
    received = sandbox_client.list_messages(run.settings.sandbox_url, message["provider"], to)
    own = [entry for entry in received if _is_same(entry, execution_id, message)]
    if len(own) != 1:
        raise StepFailed(f"The sandbox received the message {message['step_id']} {len(own)} times.")


def _is_same(entry: Mapping[str, Any], execution_id: str, message: Mapping[str, Any]) -> bool:
    """Whether an entry of the sandbox is this message; notices and webhooks have no id, and name their execution."""
    if message["provider_message_id"]:
        return bool(str(entry["id"]).strip("<>") == message["provider_message_id"].strip("<>"))
    return execution_id in str(entry["body"])


def check_retry(run: TestRunContext) -> str:
    """Wait for the refused e-mail, retry it as an operator would, and verify that it was sent once."""
    failed = run.wait_for(lambda: _find_failed_send(run), lambda: "No failed send yet")
    with acting_as(run.workspace_id):
        rows = execution.retry(select_one(failed["id"]))
        notify_after_commit(rows)
    detail = _wait_until_finished(run, "retry")
    _verify(run, RETRY, detail)
    return f"refused, then sent once, attempt {detail['attempt']}"


def _find_failed_send(run: TestRunContext) -> ExecutionDetail | None:
    detail = run.read("retry")
    if detail["waiting_for"] == "retry" and detail["next_retry_at"] is not None:
        return detail
    _require_alive(detail)
    if detail["status"] == "succeeded":
        raise StepFailed("The e-mail that the sandbox was told to refuse was sent at once.")
    return None


def check_no_provider(run: TestRunContext) -> str:
    """Verify that every message went to the sandbox, and that tests have no other account with any provider."""
    messages = [message for name in run.executions for message in run.read(name)["messages"]]
    outside = [message["provider"] for message in messages if not message["sandbox"]]
    accounts = [resolve_account(run.settings, name, run.workspace_id, test=True, demo=False) for name in PROVIDERS]
    outside += [account.provider for account in accounts if not account.sandbox]
    if outside:
        raise StepFailed(f"Not only the sandbox was called: {', '.join(sorted(set(outside)))}.")
    return f"{len(messages)} messages, all in the sandbox"


Step = Callable[[TestRunContext], str]
#: The functions of the steps, in the order of `STEP_NAMES`, before the removal of the data.
STEPS: Sequence[Step] = (
    check_servers, create_workflows, create_contacts, send_triggers, wait_until_claimed, check_rules, check_generated,
    check_sent, check_waits, check_records, check_retry, check_no_provider,
)  # fmt: skip
