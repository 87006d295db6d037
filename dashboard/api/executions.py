"""Executions over HTTP: the list, one with its details, and the operator actions on one or many."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import pydantic
from pydantic import BeforeValidator, Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText
from dashboard.errors import invalid_request, not_found
from dashboard.resource import Resource
from dashboard.responses import fetch_page, parse_row_cursor, success, to_api_fields
from models import operation
from models.execution_filters import WAITS, ExecutionFilters
from models.failure_scope import FAILURE_KINDS
from models.ids import is_id
from models.reports import executions as report
from models.reports import retries
from models.reports.executions import ExecutionItem, MessageItem, describe_error
from models.tables.workspaces import OperationKind
from rules.errors import BY_CLASS
from rules.problems import Problem
from rules.stages import STAGES, STATUSES
from tasks.operators import actions as operator_actions
from tasks.operators import bulk, reviews

executions = Resource("executions")


def _split_ids(ids: object) -> object:
    return ids.split(",") if isinstance(ids, str) else ids


Status = Annotated[str, schemas.Choice(STATUSES)]
Version = Literal["original", "current"]
Stage = Annotated[str, schemas.Choice(STAGES)]
#: As long as a rendered template may be.
MessageText = Annotated[str, Field(min_length=1, max_length=100_000, pattern=r"\S")]
Id = Annotated[str, Field(max_length=64)]
#: In a query they are separated by commas.
Ids = Annotated[list[Id], BeforeValidator(_split_ids), Field(max_length=1000)]
WaitingFor = Annotated[str, schemas.Choice(WAITS)]
Failure = Annotated[str, schemas.Choice(FAILURE_KINDS)]

_ERROR = schemas.record(
    **{"class": schemas.TEXT | {"enum": list(BY_CLASS)}},
    message=schemas.TEXT,
    code=schemas.nullable(schemas.TEXT),
    retryable=schemas.BOOL,
) | {"type": ["object", "null"]}
_REASON = schemas.record(rule=schemas.TEXT, detail=schemas.ANY) | {"type": ["object", "null"]}
LIST_FIELDS = {
    "id": schemas.ID, "automationId": schemas.ID, "automationName": schemas.TEXT, "version": schemas.COUNT,
    "contactId": schemas.nullable(schemas.ID), "contactName": schemas.nullable(schemas.TEXT), "status": schemas.TEXT,
    "stage": schemas.TEXT, "stageSince": schemas.TIME, "test": schemas.BOOL, "demo": schemas.BOOL,
    "attempt": schemas.COUNT, "error": _ERROR,
    "nextRetryAt": schemas.nullable(schemas.TIME), "resumeAt": schemas.nullable(schemas.TIME),
    "provider": schemas.nullable(schemas.TEXT), "waitingFor": schemas.nullable(schemas.TEXT),
    "createdAt": schemas.TIME, "startedAt": schemas.nullable(schemas.TIME),
    "finishedAt": schemas.nullable(schemas.TIME), "executionTimeMs": schemas.nullable(schemas.COUNT),
    "skippedBecause": _REASON,
    "followUp": schemas.record(count=schemas.COUNT, max=schemas.COUNT, nextCheckAt=schemas.nullable(schemas.TIME)),
    "followUpEndedBecause": _REASON,
}  # fmt: skip
_STAGES = schemas.array_of(
    schemas.record(
        stage=schemas.TEXT,
        enteredAt=schemas.TIME,
        leftAt=schemas.nullable(schemas.TIME),
        durationMs=schemas.nullable(schemas.COUNT),
    )
)
_STEPS = schemas.array_of(
    schemas.record(
        id=schemas.TEXT, action=schemas.TEXT, status=schemas.TEXT, attempts=schemas.COUNT,
        startedAt=schemas.nullable(schemas.TIME), executionTimeMs=schemas.nullable(schemas.COUNT), output=schemas.ANY,
        error=schemas.ANY,
    )
)  # fmt: skip
_MESSAGES = schemas.array_of(
    schemas.record(
        id=schemas.ID, channel=schemas.TEXT, to=schemas.TEXT, subject=schemas.nullable(schemas.TEXT), body=schemas.TEXT,
        bodyLength=schemas.nullable(schemas.COUNT),
        status=schemas.TEXT, provider=schemas.TEXT, sandbox=schemas.BOOL,
        providerMessageId=schemas.nullable(schemas.TEXT), sentAt=schemas.nullable(schemas.TIME),
        nextLookupAt=schemas.nullable(schemas.TIME),
        lookups=schemas.array_of(
            schemas.record(
                at=schemas.TIME, asked=schemas.TEXT, found={"type": ["boolean", "null"]}, requested=schemas.BOOL,
                reported=schemas.BOOL, error=schemas.nullable(schemas.TEXT),
            )
        ),
        generationMs=schemas.nullable(schemas.COUNT), way=schemas.nullable(schemas.TEXT),
        segments=schemas.nullable(schemas.COUNT),
        shortenedFrom=schemas.nullable(schemas.COUNT), buttons=schemas.array_of(schemas.ANY),
        quickReplies=schemas.array_of(schemas.TEXT),
        links=schemas.array_of(schemas.record(url=schemas.TEXT, clickedAt=schemas.nullable(schemas.TIME))),
    )
)  # fmt: skip


class Filters(Body):
    """The filters of executions; all must match."""

    automation_id: Id | None = Field(None, alias="automationId")
    status: Status | None = None
    stage: Stage | None = None
    contact_id: Id | None = Field(None, alias="contactId")
    q: ShortText | None = None
    error_class: ShortText | None = Field(None, alias="errorClass")
    since: schemas.Moment | None = Field(None, alias="from")
    until: schemas.Moment | None = Field(None, alias="to")
    test: schemas.QueryBool | None = None
    review: schemas.QueryBool | None = None
    provider: ShortText | None = None
    code: ShortText | None = None
    waiting_for: WaitingFor | None = Field(None, alias="waitingFor")
    ids: Ids | None = None
    failure: Failure | None = None

    def matches_nothing(self) -> bool:
        """Whether an id or an error class is invalid, so that no execution matches."""
        ids = (self.automation_id, self.contact_id, *(self.ids or ()))
        unknown_class = self.error_class is not None and self.error_class not in BY_CLASS
        return unknown_class or any(value is not None and not is_id(value) for value in ids)

    def to_filters(self) -> ExecutionFilters:
        """The filters for the reports."""
        return ExecutionFilters(
            automation_id=self.automation_id,
            status=self.status,
            stage=self.stage,
            contact_id=self.contact_id,
            q=self.q,
            error_class=self.error_class,
            since=schemas.parse_moment(self.since) if self.since else None,
            until=schemas.parse_moment(self.until) if self.until else None,
            test=self.test,
            review=self.review,
            provider=self.provider,
            code=self.code,
            waiting_for=cast(Any, self.waiting_for),
            ids=self.ids,
            failure=cast(Any, self.failure),
        )


class ExecutionPage(Filters, schemas.Page):
    """The filters and page of the list."""


class Bulk(Filters):
    """The executions to act on; with `dryRun` they are only counted."""

    ids: Annotated[list[Id], Field(max_length=1000)] | None = None
    dry_run: bool = Field(False, alias="dryRun")


class BulkRetry(Bulk):
    """The executions to retry, and the version that they continue on."""

    version: Version = "original"


class BulkResolution(Bulk):
    """The executions whose messages of unknown outcome are resolved."""

    as_: Literal["sent", "resend", "discard"] = Field(alias="as")


@executions.api(
    "GET",
    "/api/executions",
    permission="read",
    query=ExecutionPage,
    response={
        "executions": schemas.array_of(schemas.record(**LIST_FIELDS)),
        "nextCursor": schemas.nullable(schemas.TEXT),
    },
)
def list_executions(call: Caller, query: ExecutionPage) -> Any:
    """List executions, newest first."""
    before = parse_row_cursor(query.cursor)
    if query.matches_nothing():
        return success(executions=[], nextCursor=None)
    filters = query.to_filters()
    rows, cursor = fetch_page(lambda limit: report.fetch_page(call.workspace_id, filters, limit, before), query.limit)
    return success(executions=[_serialize(row) for row in rows], nextCursor=cursor)


@executions.api(
    "GET",
    "/api/executions/{execution_id}",
    permission="read",
    response={
        "execution": schemas.record(
            **LIST_FIELDS, nextLookupAt=schemas.nullable(schemas.TIME), stages=_STAGES, steps=_STEPS, messages=_MESSAGES
        )
    },
)
def show_execution(call: Caller, execution_id: str) -> Any:
    """Show an execution with its stages, its steps with their attempts, and its messages."""
    execution = report.fetch_detail(call.workspace_id, execution_id)
    if execution is None:
        raise not_found("There is no execution with that id.")
    lists = {
        "stages": [to_api_fields(row) for row in execution["stages"]],
        "steps": [to_api_fields(row) for row in execution["steps"]],
        "messages": [_serialize_message(message) for message in execution["messages"]],
    }
    look_ups = [message["next_look_up_at"] for message in execution["messages"] if message["next_look_up_at"]]
    return success(execution={**_serialize(execution), "nextLookupAt": min(look_ups, default=None), **lists})


def _serialize(execution: ExecutionItem) -> dict[str, Any]:
    return {**to_api_fields(execution), "followUp": to_api_fields(execution["follow_up"])}


def _serialize_message(row: MessageItem) -> dict[str, Any]:
    hidden = ("error_class", "error_message", "next_look_up_at")
    fields = {name: value for name, value in row.items() if name not in hidden}
    lookups = [
        {"reported": False, "error": None, **entry, "at": datetime.fromisoformat(entry["at"])}
        for entry in row["lookups"]
    ]
    return {
        **to_api_fields(fields),
        "lookups": lookups,
        "links": [to_api_fields(link) for link in row["links"]],
        "nextLookupAt": row["next_look_up_at"],
        "error": describe_error(row["error_class"], row["error_message"]),
    }


class Retry(Body):
    """The version that the retried execution continues on."""

    version: Version = "original"


@executions.api(
    "POST",
    "/api/executions/{execution_id}/retry",
    permission="write",
    body=Retry,
    body_required=False,
    response={},
    status=202,
    statuses=(409,),
)
def retry_execution(call: Caller, execution_id: str, body: Retry) -> Any:
    """Retry a failed execution from its failed step."""
    operator_actions.retry_execution(call.workspace_id, execution_id, call.actor, body.version)
    return success(202)


@executions.api(
    "POST", "/api/executions/{execution_id}/cancel", permission="write", response={}, status=202, statuses=(409,)
)
def cancel_execution(call: Caller, execution_id: str) -> Any:
    """Cancel an active execution."""
    operator_actions.cancel_execution(call.workspace_id, execution_id, call.actor)
    return success(202)


@executions.api(
    "POST",
    "/api/executions/{execution_id}/stop-follow-ups",
    permission="write",
    response={},
    status=202,
    statuses=(409,),
)
def stop_follow_ups(call: Caller, execution_id: str) -> Any:
    """Stop the follow-ups of an active execution."""
    operator_actions.stop_follow_ups(call.workspace_id, execution_id, call.actor)
    return success(202)


def _act_on_matching(call: Caller, action: OperationKind, body: Bulk, **fixed_filters: Any) -> Any:
    """Run or count a bulk action on what the body's filters match."""
    if body.matches_nothing():
        nothing = {"operationId": None, "matched": 0, bulk.BULK_ACTIONS[action].count_field: 0}
        return success(200, matched=0) if body.dry_run else success(202, **nothing)
    filters = replace(body.to_filters(), **fixed_filters)
    version = body.version if isinstance(body, BulkRetry) else "original"
    result = bulk.act_on_matching(call.workspace_id, action, filters, call.actor, body.dry_run, version)
    return success(200 if body.dry_run else 202, **result)


def _describe_bulk_response(count_field: str) -> dict[str, Any]:
    left_out = {"unknown": schemas.COUNT} if count_field == "retried" else {}
    return {
        "operationId": schemas.nullable(schemas.ID), "matched": schemas.COUNT, "status": schemas.TEXT,
        "conflicts": schemas.COUNT, count_field: schemas.COUNT, **left_out,
    }  # fmt: skip


def _declare_bulk_action(action: OperationKind, body_type: type[Bulk] = Bulk) -> None:
    def act(call: Caller, body: Bulk) -> Any:
        return _act_on_matching(call, action, body)

    act.__doc__ = f"{action.title()} all executions that match the filters."
    act.__name__ = f"{action}_matching"
    executions.api(
        "POST",
        f"/api/executions/{action}",
        permission="write",
        body=body_type,
        response=_describe_bulk_response(bulk.BULK_ACTIONS[action].count_field),
        status=202,
        statuses=(200,),
    )(act)


_declare_bulk_action("retry", BulkRetry)
_declare_bulk_action("cancel")
_declare_bulk_action("discard")


@executions.api(
    "POST",
    "/api/messages/resolve",
    permission="write",
    body=BulkResolution,
    response=_describe_bulk_response("resolved"),
    status=202,
    statuses=(200,),
)
def resolve_matching(call: Caller, body: BulkResolution) -> Any:
    """Resolve the messages of unknown outcome of all executions that match the filters."""
    return _act_on_matching(call, body.as_, body, outcome_unknown=True)


@executions.api(
    "POST",
    "/api/messages/lookup",
    permission="write",
    body=Bulk,
    response=_describe_bulk_response("requested"),
    status=202,
    statuses=(200,),
)
def look_up_matching(call: Caller, body: Bulk) -> Any:
    """Ask the providers now about the messages of unknown outcome of all executions that match the filters."""
    return _act_on_matching(call, "look_up", body)


@executions.api(
    "POST", "/api/executions/process-pending", permission="write", response={"processed": schemas.COUNT}, status=202
)
def process_pending(call: Caller) -> Any:
    """Enqueue all executions that are due now."""
    return success(202, processed=operator_actions.process_pending(call.workspace_id, call.actor))


@executions.api(
    "GET",
    "/api/operations/{operation_id}",
    permission="read",
    response={
        "operation": schemas.record(
            id=schemas.ID, kind=schemas.TEXT, status=schemas.TEXT, matched=schemas.COUNT, done=schemas.COUNT,
            conflicts=schemas.array_of(
                schemas.record(
                    executionId=schemas.ID, status=schemas.TEXT, reason=schemas.TEXT, line=schemas.COUNT,
                    field=schemas.TEXT, message=schemas.TEXT,
                    merge=schemas.record(contactId=schemas.ID, into=schemas.ID),
                )
            ),
            conflictCount=schemas.COUNT, version=schemas.nullable(schemas.TEXT),
            counts=schemas.record(created=schemas.COUNT, updated=schemas.COUNT, repeated=schemas.COUNT),
        )
    },
)  # fmt: skip
def show_operation(call: Caller, operation_id: str) -> Any:
    """Show the progress and the result of a bulk action or of an import."""
    row = operation.get(call.workspace_id, operation_id)
    if row is None:
        raise not_found("There is no operation with that id.")
    return success(operation=to_api_fields(row))


@executions.api(
    "GET",
    "/api/retries/stats",
    permission="read",
    response={
        "retries": schemas.record(
            attempted=schemas.COUNT, succeeded=schemas.COUNT, failed=schemas.COUNT, exhausted=schemas.COUNT,
            pending=schemas.COUNT, successRate=schemas.nullable(schemas.NUMBER), byErrorClass={"type": "object"},
            byDay=schemas.array_of(
                schemas.record(
                    day=schemas.TEXT, errorClass=schemas.TEXT, tried=schemas.COUNT, succeeded=schemas.COUNT,
                    exhausted=schemas.COUNT, successRate=schemas.nullable(schemas.NUMBER),
                )
            ),
        )
    },
)  # fmt: skip
def show_retries(call: Caller) -> Any:
    """Show retry statistics of the last 30 days."""
    statistics = retries.fetch_statistics(call.workspace_id)
    days = [to_api_fields(row) for row in statistics["by_day"]]
    return success(retries={**to_api_fields(statistics), "byDay": days})


class Review(Body):
    """The decision about a message that waits for review; `body` replaces its text."""

    model_config = pydantic.ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"decision": {"const": "approve"}}},
                {"properties": {"decision": {"const": "reject"}, "body": {"type": "null"}}},
            ]
        }
    )

    decision: Literal["approve", "reject"]
    body: MessageText | None = None


@executions.api(
    "POST",
    "/api/messages/{message_id}/review",
    permission="write",
    body=Review,
    response={},
    status=202,
    statuses=(409,),
)
def review_message(call: Caller, message_id: str, body: Review) -> Any:
    """Approve or reject a message that waits for review. An approval may replace the text."""
    if body.decision == "approve":
        reviews.approve(call.workspace_id, message_id, call.actor, body.body)
    elif body.body is not None:
        raise invalid_request([Problem("body", 'is only allowed with the decision "approve"')])
    else:
        reviews.reject(call.workspace_id, message_id, call.actor)
    return success(202)


class Resolution(Body):
    """The resolution of a message of unknown outcome."""

    as_: Literal["sent", "resend", "discard"] = Field(alias="as")


@executions.api(
    "POST",
    "/api/messages/{message_id}/resolve",
    permission="write",
    body=Resolution,
    response={},
    status=202,
    statuses=(409,),
)
def resolve_message(call: Caller, message_id: str, body: Resolution) -> Any:
    """Resolve a message of unknown outcome: mark it as sent, resend it, or discard it."""
    operator_actions.resolve_message(call.workspace_id, message_id, body.as_, call.actor)
    return success(202)


@executions.api(
    "POST", "/api/messages/{message_id}/lookup", permission="write", response={}, status=202, statuses=(409,)
)
def look_up_message(call: Caller, message_id: str) -> Any:
    """Ask the provider now about a message of unknown outcome."""
    operator_actions.look_up_message(call.workspace_id, message_id, call.actor)
    return success(202)
