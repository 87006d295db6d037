"""Parses a producer's trigger, sent by HTTP or Redis, into a `TriggerRequest`.

`rules.contacts` validates the contact's fields, this module everything else; the problems of both return together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from rules import bodies, contacts
from rules.bodies import Body, DescribedAs, Pattern
from rules.body_json import invalid_body, parse_body
from rules.contact_fields import ContactFields
from rules.problems import Problem
from rules.trigger_requests import TriggerRequest, hash_body

#: Maximum entries of a batch.
MAX_BATCH_SIZE = 1000
#: A trigger's type, as an automation's definition may name it.
TriggerType = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    Pattern(r"[A-Za-z0-9][A-Za-z0-9_.:/-]*", "must be letters, digits and _ . : / - and begin with a letter or digit"),
]
IdempotencyKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255),
    Pattern(r"[\x20-\x7e]+", "must be printable ASCII characters"),
]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
#: Only the limit on the body bounds a payload's size; the entries of a batch share it.
Payload = dict[str, Any]
Contact = Annotated[dict[str, Any], DescribedAs(ContactFields)]


class Trigger(Body):
    """One trigger in a request."""

    type: TriggerType
    contact: Contact | None = None
    contact_id: Id | None = Field(None, alias="contactId")
    payload: Payload = Field(default_factory=dict)
    automation_id: Id | None = Field(None, alias="automationId")
    test: bool = False
    idempotency_key: IdempotencyKey | None = Field(None, alias="idempotencyKey")


class Batch(Body):
    """Several triggers; each is validated separately."""

    triggers: Annotated[list[Annotated[Any, DescribedAs(Trigger)]], Field(min_length=1, max_length=MAX_BATCH_SIZE)]


def read_batch(raw: bytes, max_values: int) -> list[Any]:
    """Return the entries of a batch's body, not validated. Raises `BodyError` where the body is no batch."""
    batch, problems = bodies.check(Batch, parse_body(raw, max_values))
    if batch is None:
        raise invalid_body(problems)
    return batch.triggers


def parse_entry(index: int, entry: object) -> TriggerRequest | list[Problem]:
    """Return the request in an entry of a batch, or all of its problems."""
    return parse_request(entry, path=f"triggers[{index}]")


def parse_request(value: object, *, header_key: str | None = None, path: str = "") -> TriggerRequest | list[Problem]:
    """Return the request in a JSON value, or all of its problems."""
    trigger, problems = bodies.check(Trigger, value, path)
    if trigger is None:
        return problems + _find_contact_problems(value, path)
    return build_request(trigger, header_key=header_key, path=path)


def build_request(trigger: Trigger, *, header_key: str | None = None, path: str = "") -> TriggerRequest | list[Problem]:
    """Return the request of a well-formed trigger, or the problems of its values."""
    fields, problems = (None, []) if trigger.contact is None else _normalise_contact(trigger.contact, path)
    if header_key and trigger.idempotency_key and header_key != trigger.idempotency_key:
        problems.append(Problem(f"{_build_prefix(path)}idempotencyKey", "differs from the header Idempotency-Key"))
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
    return _normalise_contact(contact, path)[1] if isinstance(contact, dict) else []


def _normalise_contact(contact: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return the contact's fields and their problems, with paths from the request's top."""
    fields, problems = contacts.normalise(contact)
    prefix = f"{_build_prefix(path)}contact."
    return fields, [Problem(f"{prefix}{problem.path}", problem.message) for problem in problems]


def _build_prefix(path: str) -> str:
    return f"{path}." if path else ""
