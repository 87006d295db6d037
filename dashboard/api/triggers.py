"""Triggers over HTTP: single triggers, batches, hook URLs, and test triggers of an automation."""

from __future__ import annotations

import re
from typing import Annotated, Any

import flask
from pydantic import Field

import metrics
from dashboard import bodies
from dashboard.access import Caller, consume_trigger_limit
from dashboard.api import schemas
from dashboard.bodies import LARGE_BODY_LIMIT, Body, WholeNumber
from dashboard.errors import ProblemError, invalid_request, not_found, serialize_problems
from dashboard.resource import Resource
from dashboard.responses import success
from models import automation
from rules.problems import Problem
from tasks.intake.trigger_bodies import Id, IdempotencyKey, Payload, Trigger, TriggerType, build_request, parse_request
from tasks.intake.triggers import AcceptedTrigger, RejectedTrigger, TriggerRequest, accept

triggers = Resource("triggers")

#: Maximum entries of a batch.
MAX_BATCH_SIZE = 1000

_STARTED = schemas.array_of(schemas.record(executionId=schemas.ID, automationId=schemas.ID))
ACCEPTED = {
    "triggerId": schemas.ID,
    "contactId": schemas.nullable(schemas.ID),
    "duplicate": schemas.BOOL,
    "executions": _STARTED,
}
_HEADER_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class Batch(Body):
    """Several triggers; each is validated separately."""

    triggers: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH_SIZE)]


class TestTrigger(Body):
    """A trigger for one automation. `contactIds` or `sample` start it for several contacts."""

    __test__ = False

    type: TriggerType = "manual"
    contact: dict[str, Any] | None = None
    contact_id: Id | None = Field(None, alias="contactId")
    contact_ids: Annotated[list[Id], Field(min_length=1, max_length=100)] | None = Field(None, alias="contactIds")
    sample: Annotated[WholeNumber, Field(ge=1, le=100)] | None = None
    payload: Payload = Field(default_factory=dict)
    test: bool = True
    idempotency_key: IdempotencyKey | None = Field(None, alias="idempotencyKey")


@triggers.api(
    "POST", "/api/triggers", permission="trigger", body=Trigger, response=ACCEPTED, status=202, statuses=(200, 409)
)
def accept_trigger(call: Caller, body: Trigger) -> Any:
    """Accept a trigger. A repeated idempotency key answers 200 with the first response."""
    consume_trigger_limit(_build_limit_key(call), 1)
    request = build_request(body, header_key=read_header_key())
    return _accept_single(call.workspace_id, _require_valid(request), "api")


@triggers.api(
    "POST",
    "/api/triggers/batch",
    permission="trigger",
    body=Batch,
    response={
        "accepted": schemas.COUNT,
        "duplicates": schemas.COUNT,
        "rejected": schemas.array_of(schemas.record(index=schemas.COUNT, errors=schemas.PROBLEMS)),
        "results": schemas.array_of(schemas.record(index=schemas.COUNT, **ACCEPTED)),
    },
    status=202,
    limit=LARGE_BODY_LIMIT,
)
def accept_batch(call: Caller, body: Batch) -> Any:
    """Accept up to 1,000 triggers. Invalid ones are reported; the others are accepted."""
    consume_trigger_limit(_build_limit_key(call), len(body.triggers))
    parsed = [parse_request(entry, path=f"triggers[{index}]") for index, entry in enumerate(body.triggers)]
    valid = [(index, result) for index, result in enumerate(parsed) if isinstance(result, TriggerRequest)]
    rejected: dict[int, list[Problem]] = {
        index: result for index, result in enumerate(parsed) if isinstance(result, list)
    }
    metrics.triggers_total.labels(source="api", result="invalid").inc(len(rejected))
    results = []
    for (index, _), outcome in zip(
        valid, accept(call.workspace_id, [request for _, request in valid], "api"), strict=True
    ):
        if isinstance(outcome, RejectedTrigger):
            rejected[index] = [
                Problem(f"triggers[{index}].{problem.path}", problem.message) for problem in outcome.problems
            ]
        else:
            results.append({"index": index, **_serialize_accepted(outcome)})
    duplicates = sum(result["duplicate"] for result in results)
    return success(
        202,
        accepted=len(results) - duplicates,
        duplicates=duplicates,
        rejected=[{"index": index, "errors": serialize_problems(rejected[index])} for index in sorted(rejected)],
        results=results,
    )


@triggers.api(
    "POST",
    "/api/hooks/{token}",
    permission=None,
    response=ACCEPTED,
    status=202,
    statuses=(200, 400, 404, 409, 413, 415, 422),
)
def accept_hook(token: str) -> Any:
    """Start the automation of a hook URL. The body is the payload; its `contact` or `contactId` names the contact."""
    hook = automation.find_hook(token) if len(token) <= 100 else None
    if hook is None:
        raise not_found("There is no hook at this URL.")
    workspace_id, automation_id = hook
    consume_trigger_limit(f"hook:{automation_id}", 1)
    payload = bodies.read_json(bodies.BODY_LIMIT)
    if not isinstance(payload, dict):
        raise invalid_request([Problem("", "must be an object")])
    contact_fields = {name: payload[name] for name in ("contact", "contactId") if payload.get(name) is not None}
    trigger_fields = {"type": "hook", "automationId": automation_id, "payload": payload, **contact_fields}
    request = parse_request(trigger_fields, header_key=read_header_key())
    return _accept_single(workspace_id, _require_valid(request), "hook")


@triggers.api(
    "POST",
    "/api/automations/{automation_id}/trigger",
    permission="trigger",
    body=TestTrigger,
    response={**ACCEPTED, "triggerIds": schemas.array_of(schemas.ID)},
    status=202,
    statuses=(200, 409),
)
def accept_test(call: Caller, automation_id: str, body: TestTrigger) -> Any:
    """Start an automation manually, by default as a test."""
    consume_trigger_limit(_build_limit_key(call), 1)
    contacts = _select_contacts(body)
    if contacts is None:
        request = _build_test_request(body, automation_id, body.contact_id, body.contact, read_header_key())
        return _accept_single(call.workspace_id, request, "test")
    requests = [_build_test_request(body, automation_id, contact_id, contact) for contact_id, contact in contacts]
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
    )


def _select_contacts(body: TestTrigger) -> list[tuple[str | None, dict[str, Any] | None]] | None:
    """The contacts of `contactIds` or `sample`; None for a single contact."""
    selectors = [body.contact, body.contact_id, body.contact_ids, body.sample]
    if sum(value is not None for value in selectors) > 1:
        raise invalid_request([Problem("contact", "use only one of contact, contactId, contactIds and sample")])
    several = body.contact_ids is not None or body.sample is not None
    if several and body.idempotency_key is not None:
        raise invalid_request([Problem("idempotencyKey", "is only allowed with a single contact")])
    if body.sample is not None and not body.test:
        raise invalid_request([Problem("sample", "is only allowed for tests: sample contacts cannot be messaged")])
    if body.contact_ids is not None:
        return [(contact_id, None) for contact_id in dict.fromkeys(body.contact_ids)]
    if body.sample is not None:
        return [(None, _build_sample_contact(number)) for number in range(1, body.sample + 1)]
    return None


def _build_sample_contact(number: int) -> dict[str, Any]:
    return {
        "externalId": f"sample-{number}",
        "firstName": "Sample",
        "lastName": str(number),
        "email": f"sample-{number}@example.com",
        "phone": f"+1555010{number:04d}",
        "tags": ["sample"],
    }


def _build_test_request(
    body: TestTrigger,
    automation_id: str,
    contact_id: str | None,
    contact: dict[str, Any] | None,
    key: str | None = None,
) -> TriggerRequest:
    trigger = Trigger(
        type=body.type, contact=contact, contactId=contact_id, payload=body.payload, automationId=automation_id,
        test=body.test, idempotencyKey=body.idempotency_key,
    )  # fmt: skip
    return _require_valid(build_request(trigger, header_key=key))


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


def _accept_single(workspace_id: str, request: TriggerRequest, source: str) -> Any:
    (outcome,) = accept(workspace_id, [request], source)
    if isinstance(outcome, RejectedTrigger):
        detail = outcome.problems[0].message if outcome.problems else ""
        raise ProblemError(outcome.status, detail, outcome.problems, retry_after=outcome.retry_after)
    return success(200 if outcome.duplicate else 202, **_serialize_accepted(outcome))


def _serialize_accepted(accepted: AcceptedTrigger) -> dict[str, Any]:
    return {
        "triggerId": accepted.trigger_id,
        "contactId": accepted.contact_id,
        "duplicate": accepted.duplicate,
        "executions": accepted.executions,
    }
