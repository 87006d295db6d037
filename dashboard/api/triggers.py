"""Where producers ring: one trigger, many at once, a hook's secret address, and the Test Trigger of an automation."""

from __future__ import annotations

import re
from typing import Annotated, Any

import flask
from pydantic import Field

import metrics
from dashboard import bodies
from dashboard.access import Caller, spend_triggers
from dashboard.answers import success
from dashboard.api import shapes
from dashboard.bodies import LARGE_BODY_LIMIT, Body, WholeNumber
from dashboard.errors import Refusal, invalid, not_there, shown
from dashboard.resource import Resource
from models import automation
from rules.problems import Problem
from tasks.trigger_bodies import Id, IdempotencyKey, Payload, Trigger, TriggerType, read, request_of
from tasks.triggers import Accepted, Refused, TriggerRequest, accept

triggers = Resource("triggers")

#: Entries of a batch at most.
LARGEST_BATCH = 1000

_STARTED = shapes.listing(shapes.record(executionId=shapes.ID, automationId=shapes.ID))
ACCEPTED = {
    "triggerId": shapes.ID,
    "contactId": shapes.maybe(shapes.ID),
    "duplicate": shapes.BOOL,
    "executions": _STARTED,
}
_HEADER_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class Batch(Body):
    """Many triggers; each is judged by itself."""

    triggers: Annotated[list[Any], Field(min_length=1, max_length=LARGEST_BATCH)]


class TestTrigger(Body):
    """A trigger for one automation. `contactIds` or `sample` start it for several contacts at once."""

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
    "POST", "/api/triggers", permission="trigger", body=Trigger, answer=ACCEPTED, status=202, statuses=(200, 409)
)
def accept_trigger(call: Caller, body: Trigger) -> Any:
    """Accept a trigger. A repeat of its idempotency key answers 200 with the first answer."""
    spend_triggers(_who(call), 1)
    request = request_of(body, header_key=header_key())
    return _one(call.workspace_id, _or_invalid(request), "api")


@triggers.api(
    "POST",
    "/api/triggers/batch",
    permission="trigger",
    body=Batch,
    answer={
        "accepted": shapes.COUNT,
        "duplicates": shapes.COUNT,
        "rejected": shapes.listing(shapes.record(index=shapes.COUNT, errors=shapes.PROBLEMS)),
        "results": shapes.listing(shapes.record(index=shapes.COUNT, **ACCEPTED)),
    },
    status=202,
    limit=LARGE_BODY_LIMIT,
)
def accept_batch(call: Caller, body: Batch) -> Any:
    """Accept up to 1,000 triggers. Those that are not valid are named and the others accepted."""
    spend_triggers(_who(call), len(body.triggers))
    read_all = [read(one, path=f"triggers[{index}]") for index, one in enumerate(body.triggers)]
    valid = [(index, one) for index, one in enumerate(read_all) if isinstance(one, TriggerRequest)]
    rejected: dict[int, list[Problem]] = {index: one for index, one in enumerate(read_all) if isinstance(one, list)}
    metrics.triggers_total.labels(source="api", result="invalid").inc(len(rejected))
    results = []
    for (index, _), answer in zip(valid, accept(call.workspace_id, [one for _, one in valid], "api"), strict=True):
        if isinstance(answer, Refused):
            rejected[index] = [Problem(f"triggers[{index}].{one.path}", one.message) for one in answer.problems]
        else:
            results.append({"index": index, **_fields(answer)})
    duplicates = sum(result["duplicate"] for result in results)
    return success(
        202,
        accepted=len(results) - duplicates,
        duplicates=duplicates,
        rejected=[{"index": index, "errors": shown(rejected[index])} for index in sorted(rejected)],
        results=results,
    )


@triggers.api(
    "POST",
    "/api/hooks/{token}",
    permission=None,
    answer=ACCEPTED,
    status=202,
    statuses=(200, 400, 404, 409, 413, 415, 422),
)
def accept_hook(token: str) -> Any:
    """Start the automation behind a secret address. The whole body is the payload; `contact` or `contactId` in it
    name the contact."""
    found = automation.find_hook(token) if len(token) <= 100 else None
    if found is None:
        raise not_there("There is no hook at this address.")
    workspace_id, automation_id = found
    spend_triggers(f"hook:{automation_id}", 1)
    payload = bodies.read_json(bodies.BODY_LIMIT)
    if not isinstance(payload, dict):
        raise invalid([Problem("", "must be an object")])
    about = {name: payload[name] for name in ("contact", "contactId") if payload.get(name) is not None}
    asked = {"type": "hook", "automationId": automation_id, "payload": payload, **about}
    request = read(asked, header_key=header_key())
    return _one(workspace_id, _or_invalid(request), "hook")


@triggers.api(
    "POST",
    "/api/automations/{automation_id}/trigger",
    permission="trigger",
    body=TestTrigger,
    answer={**ACCEPTED, "triggerIds": shapes.listing(shapes.ID)},
    status=202,
    statuses=(200, 409),
)
def accept_test(call: Caller, automation_id: str, body: TestTrigger) -> Any:
    """Start one automation by hand, as a test unless told otherwise."""
    spend_triggers(_who(call), 1)
    contacts = _contacts_of(body)
    if contacts is None:
        request = _test_request(body, automation_id, body.contact_id, body.contact, header_key())
        return _one(call.workspace_id, request, "test")
    requests = [_test_request(body, automation_id, contact_id, contact) for contact_id, contact in contacts]
    answers = accept(call.workspace_id, requests, "test")
    accepted = [answer for answer in answers if isinstance(answer, Accepted)]
    if not accepted:
        refused = [one for answer in answers if isinstance(answer, Refused) for one in answer.problems]
        raise Refusal(404, "None of these contacts, or not this automation, is there.", refused)
    return success(
        202,
        triggerId=accepted[0].trigger_id,
        triggerIds=[answer.trigger_id for answer in accepted],
        contactId=None,
        duplicate=False,
        executions=[started for answer in accepted for started in answer.executions],
    )


def _contacts_of(body: TestTrigger) -> list[tuple[str | None, dict[str, Any] | None]] | None:
    """The several contacts that are asked for; None where it is the usual one."""
    given = [body.contact, body.contact_id, body.contact_ids, body.sample]
    if sum(one is not None for one in given) > 1:
        raise invalid([Problem("contact", "give one of contact, contactId, contactIds and sample")])
    several = body.contact_ids is not None or body.sample is not None
    if several and body.idempotency_key is not None:
        raise invalid([Problem("idempotencyKey", "goes with one contact only")])
    if body.sample is not None and not body.test:
        raise invalid([Problem("sample", "is for tests: invented contacts cannot be written to")])
    if body.contact_ids is not None:
        return [(contact_id, None) for contact_id in dict.fromkeys(body.contact_ids)]
    if body.sample is not None:
        return [(None, _invented(number)) for number in range(1, body.sample + 1)]
    return None


def _invented(number: int) -> dict[str, Any]:
    return {
        "externalId": f"sample-{number}",
        "firstName": "Sample",
        "lastName": str(number),
        "email": f"sample-{number}@example.com",
        "phone": f"+1555010{number:04d}",
        "tags": ["sample"],
    }


def _test_request(
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
    return _or_invalid(request_of(trigger, header_key=key))


def header_key() -> str | None:
    """The header `Idempotency-Key`. Raises `Refusal` 422 for one that cannot be kept."""
    key = flask.request.headers.get("Idempotency-Key")
    if key is not None and not _HEADER_KEY.fullmatch(key):
        raise invalid([Problem("Idempotency-Key", "must be 1 to 255 printable ASCII characters")])
    return key


def _who(call: Caller) -> str:
    return f"{call.workspace_id}:{call.actor.id}"


def _or_invalid(request: TriggerRequest | list[Problem]) -> TriggerRequest:
    if isinstance(request, list):
        metrics.triggers_total.labels(source="api", result="invalid").inc()
        raise invalid(request)
    return request


def _one(workspace_id: str, request: TriggerRequest, source: str) -> Any:
    (answer,) = accept(workspace_id, [request], source)
    if isinstance(answer, Refused):
        detail = answer.problems[0].message if answer.problems else ""
        raise Refusal(answer.status, detail, answer.problems, retry_after=answer.retry_after)
    return success(200 if answer.duplicate else 202, **_fields(answer))


def _fields(answer: Accepted) -> dict[str, Any]:
    return {
        "triggerId": answer.trigger_id,
        "contactId": answer.contact_id,
        "duplicate": answer.duplicate,
        "executions": answer.executions,
    }
