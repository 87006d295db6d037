"""Types and limits of the API, generated from its OpenAPI document by `make clients`; do not edit."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

MAX_TRIGGERS = 1000
MAX_EXECUTIONS = 500


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
    notChosen: list[NotChosenAutomation]


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
    notChosen: list[NotChosenAutomation]


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


class ExecutionReports(TypedDict):
    """Several executions; each is validated separately."""

    executions: list[ReportedExecution]


class FieldProblem(TypedDict):
    """One invalid field: its path, such as `contact.email`, and the reason."""

    path: str
    message: str


class NotChosenAutomation(TypedDict):
    """An automation that matches a comment or message and leaves it to a more specific or older one."""

    automationId: str
    because: Literal["less_specific", "newer"]


class Problem(TypedDict):
    """An error (RFC 9457), with the invalid fields."""

    type: str
    title: str
    status: int
    detail: str
    success: Literal[False]
    errors: list[FieldProblem]


class RejectedExecution(TypedDict):
    """An execution of a batch that was not tracked, by its position in the batch."""

    index: int
    status: int
    errors: list[FieldProblem]


class RejectedTrigger(TypedDict):
    """A trigger of a batch that was not accepted. With `retryAfter`, in seconds, it may be sent again."""

    index: int
    status: int
    retryAfter: int | None
    errors: list[FieldProblem]


class ReportedAction(TypedDict):
    """One action of a reported execution; `error` says why it failed."""

    name: str
    selector: NotRequired[str | None]
    executionTimeMs: NotRequired[int | None]
    config: NotRequired[dict[str, Any] | None]
    error: NotRequired[str | None]


class ReportedExecution(TypedDict):
    """One execution of a playbook. With an `executionId` the report can be repeated without being counted twice."""

    executionId: NotRequired[str | None]
    workflowId: str
    userId: NotRequired[str | None]
    status: NotRequired[Literal["success", "error", "timeout"]]
    executionTimeMs: NotRequired[int | None]
    pageUrl: NotRequired[str | None]
    sessionId: NotRequired[str | None]
    deviceType: NotRequired[Literal["desktop", "mobile", "tablet"] | None]
    triggerName: NotRequired[str | None]
    actions: NotRequired[list[ReportedAction]]


class StartedExecution(TypedDict):
    """An execution that a trigger started."""

    executionId: str
    automationId: str


class TrackedBatch(TypedDict):
    """What became of each execution of a batch."""

    success: Literal[True]
    accepted: int
    duplicates: int
    rejected: list[RejectedExecution]
    results: list[TrackedResult]
    tracked: bool


class TrackedExecution(TypedDict):
    """A tracked execution. `tracked` is false while execution tracking is switched off: nothing was stored."""

    success: Literal[True]
    executionId: str
    message: str
    duplicate: bool
    tracked: bool


class TrackedResult(TypedDict):
    """A tracked execution, by its position in the batch."""

    index: int
    executionId: str
    duplicate: bool


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


class ExecutionArguments(TypedDict):
    """Keyword arguments. One execution of a playbook. With an `executionId` the report can be repeated without being
    counted twice."""

    execution_id: NotRequired[str | None]
    user_id: NotRequired[str | None]
    status: NotRequired[Literal["success", "error", "timeout"]]
    execution_time_ms: NotRequired[int | None]
    page_url: NotRequired[str | None]
    session_id: NotRequired[str | None]
    device_type: NotRequired[Literal["desktop", "mobile", "tablet"] | None]
    trigger_name: NotRequired[str | None]
    actions: NotRequired[list[ReportedAction]]
