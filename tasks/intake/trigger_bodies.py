"""What a producer sends, by HTTP or by Redis: a trigger's shape, and how it becomes a `TriggerRequest`.

The contact's own fields are judged by `rules.contacts`, everything else here; problems of both come back together.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from rules import bodies, contacts
from rules.bodies import Body
from rules.problems import Problem
from tasks.intake.triggers import TriggerRequest, hash_body

#: Names of triggers: what an automation's definition may hold as its type.
TriggerType = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]*$")]
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
#: Bytes of JSON that a payload may have are those of the body; entries of a batch share its limit.
Payload = dict[str, Any]


class Trigger(Body):
    """One request to start."""

    type: TriggerType
    contact: dict[str, Any] | None = None
    contact_id: Id | None = Field(None, alias="contactId")
    payload: Payload = Field(default_factory=dict)
    automation_id: Id | None = Field(None, alias="automationId")
    test: bool = False
    idempotency_key: IdempotencyKey | None = Field(None, alias="idempotencyKey")


def parse_request(value: object, *, header_key: str | None = None, path: str = "") -> TriggerRequest | list[Problem]:
    """The request in a JSON value, or everything that is wrong with it."""
    trigger, problems = bodies.check(Trigger, value, path)
    if trigger is None:
        return problems + _find_contact_problems(value, path)
    return build_request(trigger, header_key=header_key, path=path)


def build_request(trigger: Trigger, *, header_key: str | None = None, path: str = "") -> TriggerRequest | list[Problem]:
    """The request of a trigger whose shape is right, or what is wrong with what it holds."""
    prefix = f"{path}." if path else ""
    fields, contact_problems = contacts.normalise(trigger.contact) if trigger.contact is not None else (None, [])
    problems = [Problem(f"{prefix}contact.{problem.path}", problem.message) for problem in contact_problems]
    if header_key and trigger.idempotency_key and header_key != trigger.idempotency_key:
        problems.append(Problem(f"{prefix}idempotencyKey", "is not the same as the header Idempotency-Key"))
    if problems:
        return problems
    return TriggerRequest(
        type=trigger.type,
        contact_id=trigger.contact_id and trigger.contact_id.lower(),
        contact=fields,
        payload=trigger.payload,
        automation_id=trigger.automation_id and trigger.automation_id.lower(),
        test=trigger.test,
        idempotency_key=trigger.idempotency_key or header_key,
        body_hash=hash_body(trigger.model_dump(exclude={"idempotency_key"})),
    )


def _find_contact_problems(value: object, path: str) -> list[Problem]:
    contact = value.get("contact") if isinstance(value, dict) else None
    if not isinstance(contact, dict):
        return []
    prefix = f"{path}." if path else ""
    return [Problem(f"{prefix}contact.{problem.path}", problem.message) for problem in contacts.normalise(contact)[1]]
