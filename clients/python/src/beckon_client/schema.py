"""Types and limits of the API, generated from its OpenAPI document by `make clients`; do not edit."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

MAX_TRIGGERS = 1000


class AcceptedBatch(TypedDict):
    """What became of each trigger of a batch."""

    success: Literal[True]
    accepted: int
    duplicates: int
    rejected: list[RejectedTrigger]
    results: list[BatchResult]


class AcceptedTrigger(TypedDict):
    """An accepted trigger; a repeated key has the first answer and `duplicate: true`."""

    success: Literal[True]
    triggerId: str
    contactId: str | None
    duplicate: bool
    executions: list[StartedExecution]


class Batch(TypedDict):
    """Several triggers; each is validated separately."""

    triggers: list[Trigger]


class BatchResult(TypedDict):
    """An accepted trigger, by its position in the batch."""

    index: int
    triggerId: str
    contactId: str | None
    duplicate: bool
    executions: list[StartedExecution]


class ContactFields(TypedDict):
    """The fields of a contact; null clears a field, and an absent one stays."""

    externalId: NotRequired[str | None]
    firstName: NotRequired[str | None]
    lastName: NotRequired[str | None]
    username: NotRequired[str | None]
    email: NotRequired[str | None]
    phone: NotRequired[str | None]
    facebookId: NotRequired[str | None]
    instagramId: NotRequired[str | None]
    timezone: NotRequired[str | None]
    tags: NotRequired[list[str] | None]
    attributes: NotRequired[dict[str, Any] | None]


class FieldProblem(TypedDict):
    """One invalid field: its path, such as `contact.email`, and the reason."""

    path: str
    message: str


class Problem(TypedDict):
    """An error (RFC 9457), with the invalid fields."""

    type: str
    title: str
    status: int
    detail: str
    success: Literal[False]
    errors: list[FieldProblem]


class RejectedTrigger(TypedDict):
    """A trigger of a batch that was not accepted. With `retryAfter`, in seconds, it may be sent again."""

    index: int
    status: int
    retryAfter: int | None
    errors: list[FieldProblem]


class StartedExecution(TypedDict):
    """An execution that a trigger started."""

    executionId: str
    automationId: str


class Trigger(TypedDict):
    """One trigger in a request."""

    type: str
    contact: NotRequired[ContactFields | None]
    contactId: NotRequired[str | None]
    payload: NotRequired[dict[str, Any]]
    automationId: NotRequired[str | None]
    test: NotRequired[bool]
    idempotencyKey: NotRequired[str | None]


class TriggerArguments(TypedDict):
    """Keyword arguments. One trigger in a request."""

    contact: NotRequired[ContactFields | None]
    contact_id: NotRequired[str | None]
    payload: NotRequired[dict[str, Any]]
    automation_id: NotRequired[str | None]
    test: NotRequired[bool]
    idempotency_key: NotRequired[str | None]
