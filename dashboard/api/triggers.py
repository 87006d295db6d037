"""Triggers over HTTP: single triggers, batches, hook URLs, and test triggers of an automation."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, Any, get_args

import flask
import structlog
from pydantic import Field

import metrics
from dashboard import bodies
from dashboard.access import Caller, consume_trigger_limit, current_settings
from dashboard.api import schemas
from dashboard.bodies import LARGE_BODY_LIMIT, Body, WholeNumber
from dashboard.errors import ProblemError, invalid_request, not_found, serialize_problems
from dashboard.gevent_support import take_turns
from dashboard.hook_bodies import read_payload
from dashboard.parsing import LARGE_BATCH_BYTES, parse_apart
from dashboard.resource import Resource
from dashboard.responses import success
from models import automation
from models.ids import is_id
from models.published import PublishedWorkflow
from rules.choice import Because
from rules.parsers import read_request
from rules.problems import Problem
from rules.trigger_bodies import (
    Batch,
    Contact,
    Id,
    IdempotencyKey,
    Payload,
    Trigger,
    TriggerType,
    build_request,
    parse_entry,
    parse_request,
    read_batch,
)
from rules.trigger_requests import TriggerRequest
from tasks.intake.single_triggers import accept_single
from tasks.intake.triggers import AcceptedTrigger, RejectedTrigger, TriggerResult, accept
from tasks.operators import test_triggers
from tasks.operators.test_triggers import TestEvent

triggers = Resource("triggers")

_STARTED = schemas.component(
    "StartedExecution", "An execution that a trigger started.", executionId=schemas.ID, automationId=schemas.ID
)
_NOT_CHOSEN = schemas.component(
    "NotChosenAutomation",
    "An automation that matches a comment or message and leaves it to a more specific or older one.",
    automationId=schemas.ID,
    because=schemas.TEXT | {"enum": list(get_args(Because))},
)
_ACCEPTED = {
    "triggerId": schemas.ID,
    "contactId": schemas.nullable(schemas.ID),
    "duplicate": schemas.BOOL,
    "executions": schemas.array_of(_STARTED),
    "notChosen": schemas.array_of(_NOT_CHOSEN),
}
ACCEPTED = schemas.answer(
    "AcceptedTrigger", "An accepted trigger; a repeated key has the first answer and `duplicate: true`.", **_ACCEPTED
)
_REJECTED = schemas.component(
    "RejectedTrigger",
    "A trigger of a batch that was not accepted. With `retryAfter`, in seconds, it may be sent again.",
    index=schemas.COUNT,
    status=schemas.COUNT,
    retryAfter=schemas.nullable(schemas.COUNT),
    errors=schemas.PROBLEMS,
)
_BATCH_RESULT = schemas.component(
    "BatchResult", "An accepted trigger, by its position in the batch.", index=schemas.COUNT, **_ACCEPTED
)
ACCEPTED_BATCH = schemas.answer(
    "AcceptedBatch",
    "What became of each trigger of a batch.",
    accepted=schemas.COUNT,
    duplicates=schemas.COUNT,
    rejected=schemas.array_of(_REJECTED),
    results=schemas.array_of(_BATCH_RESULT),
)
#: The triggers of a batch, each parsed or with its problems.
ParsedBatch = list[TriggerRequest | list[Problem]]
_HEADER_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "A request that repeats the key within 24 hours gets the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
}  # fmt: skip


class TestTrigger(Body):
    """A trigger for one automation. `contactIds` or `sample` start it for several contacts. A test without `type` or
    `payload` has those of a sample event."""

    __test__ = False

    type: TriggerType | None = None
    contact: Contact | None = None
    contact_id: Id | None = Field(None, alias="contactId")
    contact_ids: Annotated[list[Id], Field(min_length=1, max_length=100)] | None = Field(None, alias="contactIds")
    sample: Annotated[WholeNumber, Field(ge=1, le=100)] | None = None
    payload: Payload | None = None
    test: bool = True
    idempotency_key: IdempotencyKey | None = Field(None, alias="idempotencyKey")


@triggers.api(
    "POST",
    "/api/triggers",
    permission="trigger",
    body=Trigger,
    response=ACCEPTED,
    status=202,
    statuses=(200, 404, 409),
    recent_key=True,
    parameters=[_IDEMPOTENCY_KEY],
)
def accept_trigger(call: Caller, body: Trigger) -> Any:
    """Accept a trigger. A repeated idempotency key answers 200 with the first response."""
    consume_trigger_limit(_build_limit_key(call), 1)
    if body.test:
        test_triggers.require_sandbox(current_settings())
    request = build_request(body, header_key=read_header_key())
    return _accept_in_group(call.workspace_id, _require_valid(request), "api")


def parse_triggers(limit: int) -> ParsedBatch:
    """The triggers of the body, each parsed or with its problems. Raises `ProblemError`."""
    raw = bodies.read_json_bytes(limit)
    if len(raw) > LARGE_BATCH_BYTES:
        answers = parse_apart("triggers", raw, max_values=bodies.compute_max_values(limit))
        return [read_request(answer) for answer in take_turns(answers)]
    entries = bodies.parse_here(read_batch, raw, bodies.compute_max_values(limit))
    # A thousand contacts take a tenth of a second.
    return [parse_entry(index, entry) for index, entry in take_turns(enumerate(entries))]


@triggers.api(
    "POST",
    "/api/triggers/batch",
    permission="trigger",
    body=Batch,
    reader=parse_triggers,
    response=ACCEPTED_BATCH,
    status=202,
    limit=LARGE_BODY_LIMIT,
    recent_key=True,
)
def accept_batch(call: Caller, body: ParsedBatch) -> Any:
    """Accept up to 1,000 triggers. Invalid ones are reported; the others are accepted."""
    consume_trigger_limit(_build_limit_key(call), len(body))
    parsed = [_refuse_test(entry, f"triggers[{index}]") for index, entry in enumerate(body)]
    valid = [(index, result) for index, result in enumerate(parsed) if isinstance(result, TriggerRequest)]
    rejected = {index: RejectedTrigger(422, result) for index, result in enumerate(parsed) if isinstance(result, list)}
    metrics.triggers_total.labels(source="api", result="invalid").inc(len(rejected))
    results = []
    for (index, _), outcome in zip(
        valid, accept(call.workspace_id, [request for _, request in valid], "api"), strict=True
    ):
        if isinstance(outcome, RejectedTrigger):
            problems = [Problem(f"triggers[{index}].{problem.path}", problem.message) for problem in outcome.problems]
            rejected[index] = replace(outcome, problems=problems)
        else:
            results.append({"index": index, **_serialize_accepted(outcome)})
    duplicates = sum(result["duplicate"] for result in results)
    return success(
        202,
        accepted=len(results) - duplicates,
        duplicates=duplicates,
        rejected=[_serialize_rejected(index, rejected[index]) for index in sorted(rejected)],
        results=results,
    )


def _serialize_rejected(index: int, rejected: RejectedTrigger) -> dict[str, Any]:
    return {
        "index": index,
        "status": rejected.status,
        "retryAfter": rejected.retry_after,
        "errors": serialize_problems(rejected.problems),
    }


def _refuse_test(request: TriggerRequest | list[Problem], path: str) -> TriggerRequest | list[Problem]:
    """One entry of a batch; a test is refused while the sandbox is off."""
    if isinstance(request, TriggerRequest) and request.test and current_settings().sandbox == "off":
        return [Problem(f"{path}.test", test_triggers.SANDBOX_OFF)]
    return request


@triggers.api(
    "POST",
    "/api/hooks/{token}",
    permission=None,
    response=ACCEPTED,
    status=202,
    statuses=(200, 409, 415, 422),
    parameters=[_IDEMPOTENCY_KEY],
)
def accept_hook(token: str) -> Any:
    """Start the automation of a hook URL. The body, JSON or a form, is the payload; its `contact` or `contactId` names
    the contact."""
    hook = automation.find_recent_hook(token) if len(token) <= 100 else None
    if hook is None:
        raise not_found("There is no hook at this URL.")
    workspace_id, automation_id = hook
    consume_trigger_limit(f"hook:{automation_id}", 1)
    # The hook's secret address is its key.
    flask.g.credential = automation_id.encode()
    payload = read_payload()
    if not isinstance(payload, dict):
        raise invalid_request([Problem("", "must be an object")])
    contact_fields = {name: payload[name] for name in ("contact", "contactId") if payload.get(name) is not None}
    trigger_fields = {"type": "hook", "automationId": automation_id, "payload": payload, **contact_fields}
    request = parse_request(trigger_fields, header_key=read_header_key())
    return _accept_in_group(workspace_id, _require_valid(request), "hook")


@triggers.api(
    "POST",
    "/api/automations/{automation_id}/trigger",
    permission="trigger",
    body=TestTrigger,
    response={
        **_ACCEPTED,
        "triggerIds": schemas.array_of(schemas.ID),
        "payload": schemas.record(),
    },
    status=202,
    statuses=(200, 409),
    parameters=[_IDEMPOTENCY_KEY],
)
def accept_test(call: Caller, automation_id: str, body: TestTrigger) -> Any:
    """Start an automation manually, by default as a test. The response has the payload, which may be a sample."""
    consume_trigger_limit(_build_limit_key(call), 1)
    _check_selection(body)
    event = _choose_event(call, automation_id, body)
    contact_ids = _select_contacts(call, automation_id, body)
    if contact_ids is None:
        request = _build_test_request(body, event, automation_id, body.contact_id, read_header_key())
        return _accept_single(call.workspace_id, request, "test", payload=event.payload)
    requests = [_build_test_request(body, event, automation_id, contact_id) for contact_id in contact_ids]
    outcomes = accept(call.workspace_id, requests, "test")
    accepted = [outcome for outcome in outcomes if isinstance(outcome, AcceptedTrigger)]
    if not accepted:
        problems = [
            problem for outcome in outcomes if isinstance(outcome, RejectedTrigger) for problem in outcome.problems
        ]
        raise ProblemError(404, "The automation or all of these contacts do not exist.", problems)
    return success(
        202,
        triggerId=accepted[0].trigger_id,
        triggerIds=[outcome.trigger_id for outcome in accepted],
        contactId=None,
        duplicate=False,
        executions=[execution for outcome in accepted for execution in outcome.executions],
        notChosen=[],
        payload=event.payload,
    )


def _check_selection(body: TestTrigger) -> None:
    selectors = [body.contact, body.contact_id, body.contact_ids, body.sample]
    if sum(value is not None for value in selectors) > 1:
        raise invalid_request([Problem("contact", "use only one of contact, contactId, contactIds and sample")])
    several = body.contact_ids is not None or body.sample is not None
    if several and body.idempotency_key is not None:
        raise invalid_request([Problem("idempotencyKey", "is only allowed with a single contact")])
    if body.sample is not None and not body.test:
        raise invalid_request([Problem("sample", "is only allowed for tests: sample contacts cannot be messaged")])


def _choose_event(call: Caller, automation_id: str, body: TestTrigger) -> TestEvent:
    """The event of a test, with a sample of what the body leaves out; nothing is invented for a real execution."""
    if not body.test:
        return TestEvent(body.type or "manual", body.payload or {})
    test_triggers.require_sandbox(current_settings())
    return test_triggers.choose_event(_find_workflow(call, automation_id), body.type, body.payload)


def _find_workflow(call: Caller, automation_id: str) -> PublishedWorkflow:
    if not is_id(automation_id):
        raise not_found("There is no published automation with that id.")
    return test_triggers.find_published(call.workspace_id, automation_id)


def _select_contacts(call: Caller, automation_id: str, body: TestTrigger) -> list[str] | None:
    """The ids of the contacts of `contactIds` or `sample`; None for a single contact."""
    if body.sample is not None:
        workflow = _find_workflow(call, automation_id)
        return test_triggers.ensure_sample_contacts(call.workspace_id, workflow, body.sample)
    return None if body.contact_ids is None else list(dict.fromkeys(body.contact_ids))


def _build_test_request(
    body: TestTrigger, event: TestEvent, automation_id: str, contact_id: str | None, key: str | None = None
) -> TriggerRequest:
    """The request of one contact; a repeated key is compared by what the body says, not by the sample."""
    trigger = Trigger(
        type=body.type or "manual", contact=body.contact, contactId=contact_id, payload=body.payload or {},
        automationId=automation_id, test=body.test, idempotencyKey=body.idempotency_key,
    )  # fmt: skip
    request = _require_valid(build_request(trigger, header_key=key))
    return replace(request, type=event.type, payload=event.payload)


def read_header_key() -> str | None:
    """The header `Idempotency-Key`. Raises `ProblemError` 422 for an invalid one."""
    key = flask.request.headers.get("Idempotency-Key")
    if key is not None and not _HEADER_KEY.fullmatch(key):
        raise invalid_request([Problem("Idempotency-Key", "must be 1 to 255 printable ASCII characters")])
    return key


def _build_limit_key(call: Caller) -> str:
    return f"{call.workspace_id}:{call.actor.id}"


def _require_valid(request: TriggerRequest | list[Problem]) -> TriggerRequest:
    if isinstance(request, list):
        metrics.triggers_total.labels(source="api", result="invalid").inc()
        raise invalid_request(request)
    return request


def _accept_in_group(workspace_id: str, request: TriggerRequest, source: str) -> Any:
    return _answer(workspace_id, accept_single(workspace_id, request, source, len(flask.request.get_data())))


def _accept_single(workspace_id: str, request: TriggerRequest, source: str, **fields: Any) -> Any:
    return _answer(workspace_id, accept(workspace_id, [request], source)[0], **fields)


def _answer(workspace_id: str, outcome: TriggerResult, **fields: Any) -> Any:
    if isinstance(outcome, RejectedTrigger):
        detail = outcome.problems[0].message if outcome.problems else ""
        raise ProblemError(outcome.status, detail, outcome.problems, retry_after=outcome.retry_after)
    structlog.contextvars.bind_contextvars(workspace_id=workspace_id, trigger_id=outcome.trigger_id)
    return success(200 if outcome.duplicate else 202, **_serialize_accepted(outcome), **fields)


def _serialize_accepted(accepted: AcceptedTrigger) -> dict[str, Any]:
    return {
        "triggerId": accepted.trigger_id,
        "contactId": accepted.contact_id,
        "duplicate": accepted.duplicate,
        "executions": accepted.executions,
        "notChosen": accepted.not_chosen,
    }
