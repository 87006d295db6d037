"""Executions over HTTP: the list, one with its whole story, and what operators do to one or to many."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

import metrics
from dashboard.access import Caller
from dashboard.answers import named, paged, row_id_of, success
from dashboard.api import shapes
from dashboard.bodies import Body, ShortText
from dashboard.errors import invalid, not_there
from dashboard.resource import Resource
from models import operation
from models.database import Row
from models.ids import is_id
from models.reports import executions as report
from models.reports import retries
from models.reports.executions import error
from models.reports.filters import ExecutionFilters
from rules.errors import BY_CLASS
from rules.problems import Problem
from rules.stages import STAGES, STATUSES
from tasks import operators, reviews

executions = Resource("executions")

Status = Annotated[str, AfterValidator(shapes.one_of(STATUSES)), Field(json_schema_extra={"enum": list(STATUSES)})]
Stage = Annotated[str, AfterValidator(shapes.one_of(STAGES)), Field(json_schema_extra={"enum": list(STAGES)})]
#: No longer than what a template may write.
MessageText = Annotated[str, Field(min_length=1, max_length=100_000, pattern=r"\S")]
Id = Annotated[str, Field(max_length=64)]

_ERROR = shapes.record(message=shapes.TEXT, code=shapes.maybe(shapes.TEXT), retryable=shapes.BOOL) | {
    "type": ["object", "null"]
}
_BECAUSE = shapes.record(rule=shapes.TEXT, detail=shapes.ANY) | {"type": ["object", "null"]}
LISTED = {
    "id": shapes.ID, "automationId": shapes.ID, "automationName": shapes.TEXT, "version": shapes.COUNT,
    "contactId": shapes.maybe(shapes.ID), "contactName": shapes.maybe(shapes.TEXT), "status": shapes.TEXT,
    "stage": shapes.TEXT, "stageSince": shapes.TIME, "test": shapes.BOOL, "attempt": shapes.COUNT, "error": _ERROR,
    "nextRetryAt": shapes.maybe(shapes.TIME), "resumeAt": shapes.maybe(shapes.TIME), "createdAt": shapes.TIME,
    "startedAt": shapes.maybe(shapes.TIME), "finishedAt": shapes.maybe(shapes.TIME),
    "executionTimeMs": shapes.maybe(shapes.COUNT),
    "skippedBecause": _BECAUSE,
    "followUp": shapes.record(count=shapes.COUNT, max=shapes.COUNT, nextCheckAt=shapes.maybe(shapes.TIME)),
    "followUpEndedBecause": _BECAUSE,
}  # fmt: skip
_STAGES = shapes.listing(
    shapes.record(
        stage=shapes.TEXT,
        enteredAt=shapes.TIME,
        leftAt=shapes.maybe(shapes.TIME),
        durationMs=shapes.maybe(shapes.COUNT),
    )
)
_STEPS = shapes.listing(
    shapes.record(
        id=shapes.TEXT, action=shapes.TEXT, status=shapes.TEXT, attempts=shapes.COUNT,
        startedAt=shapes.maybe(shapes.TIME), executionTimeMs=shapes.maybe(shapes.COUNT), output=shapes.ANY,
        error=shapes.ANY,
    )
)  # fmt: skip
_MESSAGES = shapes.listing(
    shapes.record(
        id=shapes.ID, channel=shapes.TEXT, to=shapes.TEXT, subject=shapes.maybe(shapes.TEXT), body=shapes.TEXT,
        status=shapes.TEXT, provider=shapes.TEXT, sandbox=shapes.BOOL, providerMessageId=shapes.maybe(shapes.TEXT),
        sentAt=shapes.maybe(shapes.TIME), generationMs=shapes.maybe(shapes.COUNT), way=shapes.maybe(shapes.TEXT),
        shortenedFrom=shapes.maybe(shapes.COUNT), buttons=shapes.listing(shapes.ANY),
        quickReplies=shapes.listing(shapes.TEXT),
    )
)  # fmt: skip


class Filters(Body):
    """Which executions; all that are given must hold."""

    automation_id: Id | None = Field(None, alias="automationId")
    status: Status | None = None
    stage: Stage | None = None
    contact_id: Id | None = Field(None, alias="contactId")
    q: ShortText | None = None
    error_class: ShortText | None = Field(None, alias="errorClass")
    since: shapes.Moment | None = Field(None, alias="from")
    until: shapes.Moment | None = Field(None, alias="to")
    test: shapes.QueryTruth | None = None
    review: shapes.QueryTruth | None = None

    def matches_nothing(self) -> bool:
        """Whether an id or a class cannot be any execution's."""
        ids = (self.automation_id, self.contact_id)
        unknown_class = self.error_class is not None and self.error_class not in BY_CLASS
        return unknown_class or any(one is not None and not is_id(one) for one in ids)

    def filters(self) -> ExecutionFilters:
        """The same for the reports."""
        return ExecutionFilters(
            automation_id=self.automation_id,
            status=self.status,
            stage=self.stage,
            contact_id=self.contact_id,
            q=self.q,
            error_class=self.error_class,
            since=shapes.moment_of(self.since) if self.since else None,
            until=shapes.moment_of(self.until) if self.until else None,
            test=self.test,
            review=self.review,
        )


class ExecutionPage(Filters, shapes.Page):
    """Which page of which executions."""


class Bulk(Filters):
    """All executions that match; with `dryRun` they are only counted."""

    dry_run: bool = Field(False, alias="dryRun")


@executions.api(
    "GET",
    "/api/executions",
    permission="read",
    query=ExecutionPage,
    answer={"executions": shapes.listing(shapes.record(**LISTED)), "nextCursor": shapes.maybe(shapes.TEXT)},
)
def list_executions(call: Caller, query: ExecutionPage) -> Any:
    """List executions, newest first."""
    before = row_id_of(query.cursor)
    if query.matches_nothing():
        return success(executions=[], nextCursor=None)
    filters = query.filters()
    found, cursor = paged(lambda limit: report.page(call.workspace_id, filters, limit, before), query.limit)
    return success(executions=[named(one) for one in found], nextCursor=cursor)


@executions.api(
    "GET",
    "/api/executions/{execution_id}",
    permission="read",
    answer={"execution": shapes.record(**LISTED, stages=_STAGES, steps=_STEPS, messages=_MESSAGES)},
)
def show_execution(call: Caller, execution_id: str) -> Any:
    """Show one execution: each stage, each step with its attempts, each message."""
    found = report.detail(call.workspace_id, execution_id)
    if found is None:
        raise not_there("There is no execution by that id.")
    messages = [_message(one) for one in found.pop("messages")]
    lists = {name: [named(one) for one in found.pop(name)] for name in ("stages", "steps")}
    return success(execution={**named(found), **lists, "messages": messages})


def _message(row: Row) -> dict[str, Any]:
    error_class, words = row.pop("error_class"), row.pop("error_message")
    return {**named(row), "error": error_class and error(error_class, words)}


@executions.api(
    "POST", "/api/executions/{execution_id}/retry", permission="write", answer={}, status=202, statuses=(409,)
)
def retry_execution(call: Caller, execution_id: str) -> Any:
    """Let a failed execution go on from its failed step."""
    operators.retry_execution(call.workspace_id, execution_id, call.actor)
    return success(202)


@executions.api(
    "POST", "/api/executions/{execution_id}/cancel", permission="write", answer={}, status=202, statuses=(409,)
)
def cancel_execution(call: Caller, execution_id: str) -> Any:
    """End an execution that is in flight."""
    operators.cancel_execution(call.workspace_id, execution_id, call.actor)
    return success(202)


@executions.api(
    "POST", "/api/executions/{execution_id}/stop-follow-ups", permission="write", answer={}, status=202, statuses=(409,)
)
def stop_follow_ups(call: Caller, execution_id: str) -> Any:
    """Send no more follow-ups of an execution that is in flight."""
    operators.stop_follow_ups(call.workspace_id, execution_id, call.actor)
    return success(202)


def _bulk(action: operators.Action) -> None:
    done = {"retry": "retried", "cancel": "cancelled", "discard": "discarded"}[action]

    def act(call: Caller, body: Bulk) -> Any:
        if body.matches_nothing():
            return success(200, matched=0) if body.dry_run else success(202, operationId=None, matched=0, **{done: 0})
        result = operators.act_on_matching(call.workspace_id, action, body.filters(), call.actor, body.dry_run)
        return success(200 if body.dry_run else 202, **result)

    act.__doc__ = f"{action.title()} every execution that matches the filters of the list."
    act.__name__ = f"{action}_matching"
    executions.api(
        "POST",
        f"/api/executions/{action}",
        permission="write",
        body=Bulk,
        answer={"operationId": shapes.maybe(shapes.ID), "matched": shapes.COUNT, done: shapes.COUNT},
        status=202,
        statuses=(200,),
    )(act)


_bulk("retry")
_bulk("cancel")
_bulk("discard")


@executions.api(
    "POST", "/api/executions/process-pending", permission="write", answer={"processed": shapes.COUNT}, status=202
)
def process_pending(call: Caller) -> Any:
    """Nudge all that is due now."""
    processed = operators.process_pending(call.workspace_id)
    metrics.operator_actions_total.labels(action="process_pending", result="done").inc()
    return success(202, processed=processed)


@executions.api(
    "GET",
    "/api/operations/{operation_id}",
    permission="read",
    answer={
        "operation": shapes.record(
            id=shapes.ID, kind=shapes.TEXT, status=shapes.TEXT, matched=shapes.COUNT, done=shapes.COUNT,
            conflicts=shapes.listing(shapes.ANY),
        )
    },
)  # fmt: skip
def show_operation(call: Caller, operation_id: str) -> Any:
    """Show what a bulk action did."""
    found = operation.get(call.workspace_id, operation_id)
    if found is None:
        raise not_there("There is no operation by that id.")
    return success(operation=named(found))


@executions.api(
    "GET",
    "/api/retries/stats",
    permission="read",
    answer={
        "retries": shapes.record(
            attempted=shapes.COUNT, succeeded=shapes.COUNT, failed=shapes.COUNT, exhausted=shapes.COUNT,
            pending=shapes.COUNT, successRate=shapes.maybe(shapes.NUMBER), byErrorClass={"type": "object"},
        )
    },
)  # fmt: skip
def show_retries(call: Caller) -> Any:
    """Show how retries went in the last 30 days."""
    return success(retries=named(retries.statistics(call.workspace_id)))


class Review(Body):
    """A person's decision about a message that waits for it; `body` replaces its text."""

    decision: Literal["approve", "reject"]
    body: MessageText | None = None


@executions.api(
    "POST",
    "/api/messages/{message_id}/review",
    permission="write",
    body=Review,
    answer={},
    status=202,
    statuses=(409,),
)
def review_message(call: Caller, message_id: str, body: Review) -> Any:
    """Decide about a message that waits for review: send it, with another text if one is given, or do not."""
    if body.decision == "approve":
        reviews.approve(call.workspace_id, message_id, call.actor, body.body)
    elif body.body is not None:
        raise invalid([Problem("body", "may only be given to approve with it")])
    else:
        reviews.reject(call.workspace_id, message_id, call.actor)
    return success(202)


class Resolution(Body):
    """What became of a message whose outcome is unknown."""

    as_: Literal["sent", "resend", "discard"] = Field(alias="as")


@executions.api(
    "POST",
    "/api/messages/{message_id}/resolve",
    permission="write",
    body=Resolution,
    answer={},
    status=202,
    statuses=(409,),
)
def resolve_message(call: Caller, message_id: str, body: Resolution) -> Any:
    """Decide about a message of unknown outcome: it was sent, send it again, or discard it."""
    operators.resolve_message(call.workspace_id, message_id, body.as_, call.actor)
    return success(202)
