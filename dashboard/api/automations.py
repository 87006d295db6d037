"""Automations over HTTP: list, create, change, publish, delete, and validate a definition without saving it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import flask
from pydantic import BeforeValidator, Field, WithJsonSchema

import metrics
from dashboard.access import Caller, current_settings
from dashboard.api import schemas
from dashboard.bodies import BODY_LIMIT, Body, ShortText
from dashboard.definition_warnings import list_warnings
from dashboard.definitions import check_text, find_problems, require_valid, require_valid_text, rewrite_text
from dashboard.errors import invalid_request, not_found, serialize_problems
from dashboard.resource import Resource
from dashboard.responses import fetch_page, parse_row_cursor, success, to_api_fields
from ephemeral import workflow_cache
from models import automation
from models.automation_schedule import ScheduleStateRow
from models.database import acting_as, db
from models.ids import is_id
from models.reports import automations as report
from models.reports import runs
from models.reports.automations import AutomationDetail, AutomationRow
from rules.bodies import to_whole_numbers
from rules.channels import CHANNELS
from rules.definition_text import get_source, locate_problems, replace_trigger
from rules.language import AutomationType, infer_type
from rules.parsing import BYTE_ORDER_MARK
from rules.problems import Problem
from rules.slugs import build_slug
from rules.source_edits import OPERATIONS
from tasks.operators import actions as operator_actions
from tasks.operators import switches

automations = Resource("automations")

LIST_FIELDS = {
    "_id": schemas.ID, "id": schemas.ID, "name": schemas.TEXT, "type": schemas.TEXT, "enabled": schemas.BOOL,
    "version": schemas.COUNT, "triggerType": schemas.nullable(schemas.TEXT), "totalRuns": schemas.COUNT,
    "lastRunAt": schemas.nullable(schemas.TIME), "lastExecutedAt": schemas.nullable(schemas.TIME),
    "executions": schemas.COUNT, "succeeded": schemas.COUNT, "failed": schemas.COUNT, "skipped": schemas.COUNT,
    "pausedAt": schemas.nullable(schemas.TIME), "automaticRetries": schemas.BOOL,
    "hasDraft": schemas.BOOL, "createdAt": schemas.TIME,
    "updatedAt": schemas.TIME, "stats": schemas.record(totalRuns=schemas.COUNT, last24Hours=schemas.COUNT),
}  # fmt: skip
SCHEDULE = schemas.record(
    nextAt=schemas.TIME,
    skipped=schemas.nullable(schemas.record(count=schemas.COUNT, firstAt=schemas.TIME, lastAt=schemas.TIME)),
)
AUTOMATION = schemas.record(
    **LIST_FIELDS, definition=schemas.ANY, source=schemas.nullable(schemas.TEXT), draft=schemas.ANY,
    draftRevision=schemas.COUNT, draftBaseVersion=schemas.nullable(schemas.COUNT),
    draftSavedAt=schemas.nullable(schemas.TIME), draftSavedBy=schemas.nullable(schemas.TEXT), inFlight=schemas.COUNT,
    hookUrl=schemas.nullable(schemas.TEXT), schedule=schemas.nullable(SCHEDULE),
    versions=schemas.array_of(
        schemas.record(
            version=schemas.COUNT, publishedBy=schemas.TEXT, publishedAt=schemas.TIME,
            note=schemas.nullable(schemas.TEXT),
        )
    ),
)  # fmt: skip


TEXT_PROBLEMS = schemas.array_of(
    schemas.component(
        "DefinitionProblem",
        "A problem of a definition; one of a text has its line and column, from 1.",
        path=schemas.TEXT, message=schemas.TEXT,
    )
)  # fmt: skip
_EDITS = schemas.array_of(
    schemas.record(
        op=schemas.one_of(OPERATIONS), path=schemas.array_of(schemas.ANY), value=schemas.ANY,
        to=schemas.array_of(schemas.ANY),
    )
)  # fmt: skip
WARNINGS = schemas.array_of(
    schemas.Component(
        "DefinitionWarning",
        {
            "description": "What the author of a valid definition should know. `fix` has the edits that mend it, for "
            "the operation that edits a text; a warning of a text has its line and column, from 1.",
            "required": ["path", "message"],
            **schemas.record(
                path=schemas.TEXT, message=schemas.TEXT, line=schemas.COUNT, column=schemas.COUNT,
                fix=schemas.record(title=schemas.TEXT, edits=_EDITS),
            ),
        },
    )
)  # fmt: skip


#: A channel of a step, in a query.
ChannelName = Annotated[str, schemas.Choice(tuple(CHANNELS))]


class AutomationPage(schemas.Page):
    """The filters and page of the list."""

    q: ShortText | None = None
    type: AutomationType | None = None
    channel: ChannelName | None = None
    enabled: schemas.QueryBool | None = None


#: The number of a version in a query.
VersionNumber = Annotated[int, schemas.QueryNumber(1, 2**31 - 1)]
Definition = Annotated[dict[str, Any], BeforeValidator(to_whole_numbers), WithJsonSchema({"x-component": "Definition"})]
#: A definition's text. The parser refuses one that is too large, with a message of its own.
SourceText = Annotated[str, Field(max_length=BODY_LIMIT)]


class NewAutomation(Body):
    """A new automation; its definition, an object or a text in YAML or JSON, becomes version 1."""

    name: ShortText
    #: Without it: the type that the definition's trigger belongs to.
    type: AutomationType | None = None
    enabled: bool = True
    definition: Definition | None = None
    source: SourceText | None = None


class AutomationUpdate(Body):
    """The fields to change. A new definition is published as the next version."""

    name: ShortText | None = None
    enabled: bool | None = None
    definition: Definition | None = None
    source: SourceText | None = None
    automatic_retries: bool | None = Field(None, alias="automaticRetries")


class ValidationRequest(Body):
    """A definition to validate, an object or a text, and its type of automation; without one, the type that its trigger
    belongs to. `trigger` replaces the definition's trigger, or, as a string, its type. `automationId` is the automation
    that it is for, which warnings leave out."""

    type: AutomationType | None = None
    automation_id: ShortText | None = Field(None, alias="automationId")
    trigger: dict[str, Any] | str | None = None
    definition: Annotated[Any, BeforeValidator(to_whole_numbers)] = None
    source: SourceText | None = None


@automations.api(
    "GET",
    "/api/workspaces/{workspace_id}/automations",
    permission="read",
    query=AutomationPage,
    response={
        "automations": schemas.array_of(schemas.record(**LIST_FIELDS)),
        "nextCursor": schemas.nullable(schemas.TEXT),
    },
)
def list_automations(call: Caller, query: AutomationPage) -> Any:
    """List automations, newest first."""
    before = parse_row_cursor(query.cursor)
    rows, cursor = fetch_page(
        lambda limit: report.fetch_page(
            call.workspace_id,
            limit=limit,
            before=before,
            q=query.q,
            type=query.type,
            enabled=query.enabled,
            channel=query.channel,
        ),
        query.limit,
    )
    return success(automations=serialize_list(call.workspace_id, rows), nextCursor=cursor)


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations",
    permission="write",
    body=NewAutomation,
    response={"automation": AUTOMATION, "warnings": WARNINGS},
    status=201,
)
def create_automation(call: Caller, body: NewAutomation) -> Any:
    """Create an automation and publish its first version."""
    definition, type_ = _read_new_definition(body)
    publication = automation.create(
        call.workspace_id,
        name=body.name,
        type=type_,
        definition=definition,
        actor=call.actor,
        enabled=body.enabled,
        is_valid=True,
        source=body.source,
    )
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    warnings = list_warnings(call.workspace_id, definition, publication.automation_id)
    return success(
        201,
        automation=serialize_detail(call.workspace_id, publication.automation_id, publication.hook_token),
        warnings=serialize_problems(warnings),
    )


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/validate",
    permission="read",
    body=ValidationRequest,
    response={"valid": schemas.BOOL, "errors": TEXT_PROBLEMS, "warnings": WARNINGS},
)
def validate_automation(call: Caller, body: ValidationRequest) -> Any:
    """Validate a definition without saving it. Warnings stop no publishing."""
    require_single_definition(body)
    document, problems = _check(body)
    warnings = [] if problems else list_warnings(call.workspace_id, document, body.automation_id)
    located = warnings if body.source is None else locate_problems(body.source, warnings)
    return success(valid=not problems, errors=serialize_problems(problems), warnings=serialize_problems(located))


@automations.api(
    "GET",
    "/api/workspaces/{workspace_id}/automations/{automation_id}",
    permission="read",
    response={"automation": AUTOMATION},
)
def show_automation(call: Caller, automation_id: str) -> Any:
    """Show an automation with its published definition and its versions."""
    return success(automation=serialize_detail(call.workspace_id, automation_id))


def change_automation(call: Caller, automation_id: str, body: AutomationUpdate) -> Any:
    """Change an automation. A changed definition is published as the next version."""
    before = require_automation(call.workspace_id, automation_id)
    token = None
    change = _read_change(body, before)
    with acting_as(call.workspace_id):
        if body.name is not None:
            automation.rename(call.workspace_id, automation_id, body.name, call.actor)
        if body.enabled is not None:
            automation.toggle(call.workspace_id, automation_id, body.enabled, call.actor)
        if body.automatic_retries is not None:
            automation.set_automatic_retries(call.workspace_id, automation_id, body.automatic_retries, call.actor)
        if change is not None:
            token = automation.publish(
                call.workspace_id, automation_id, change.definition, call.actor, is_valid=True, source=change.source
            ).hook_token
            metrics.operator_actions_total.labels(action="publish", result="done").inc()
    workflow_cache.invalidate(call.workspace_id)
    warnings = list_warnings(call.workspace_id, change.definition, automation_id) if change else []
    return success(
        automation=serialize_detail(call.workspace_id, automation_id, token), warnings=serialize_problems(warnings)
    )


for _method in ("PUT", "PATCH"):
    automations.api(
        _method,
        "/api/workspaces/{workspace_id}/automations/{automation_id}",
        permission="write",
        body=AutomationUpdate,
        response={"automation": AUTOMATION, "warnings": WARNINGS},
    )(change_automation)


class ExportQuery(Body):
    """The version; without one, the published version."""

    version: VersionNumber | None = None


@automations.api(
    "GET",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/export",
    permission="read",
    query=ExportQuery,
    response={},
    media_type="application/yaml",
)
def export_automation(call: Caller, query: ExportQuery, automation_id: str) -> Any:
    """Download the text of a definition, YAML or JSON, as its author wrote it."""
    row = require_automation(call.workspace_id, automation_id)
    published = report.find_published(call.workspace_id, automation_id, query.version or row["version"])
    if published is None:
        raise not_found("This automation has no such version.")
    text = get_source(published["source"], published["definition"]) or ""
    is_json = text.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == "{"
    response = flask.make_response(text.encode())
    response.mimetype = "application/json" if is_json else "application/yaml"
    name = f"{build_slug(row['name'])}-v{published['version']}.{'json' if is_json else 'yaml'}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@automations.api(
    "DELETE",
    "/api/workspaces/{workspace_id}/automations/{automation_id}",
    permission="write",
    response={"cancelled": schemas.COUNT},
)
def delete_automation(call: Caller, automation_id: str) -> Any:
    """Delete an automation and cancel its active executions. Its history stays."""
    with acting_as(call.workspace_id):
        cancelled = automation.delete(
            call.workspace_id,
            automation_id,
            call.actor,
            lambda: operator_actions.cancel_in_flight(call.workspace_id, automation_id, call.actor),
        )
        db.after_commit(lambda: workflow_cache.invalidate(call.workspace_id))
    metrics.operator_actions_total.labels(action="delete", result="done").inc()
    return success(cancelled=cancelled)


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/hook",
    permission="write",
    response={"hookUrl": schemas.TEXT},
    status=201,
)
def renew_hook(call: Caller, automation_id: str) -> Any:
    """Replace the secret URL of an automation's `hook` trigger. The previous URL stops working."""
    token = automation.renew_hook_token(call.workspace_id, automation_id, call.actor)
    return success(201, hookUrl=_build_hook_url(token))


def require_single_definition(body: Any) -> None:
    """Raise `ProblemError` 422 where the body has no definition, or two."""
    is_missing = "definition" not in body.model_fields_set and body.source is None
    if is_missing:
        raise invalid_request([Problem("definition", "is required")])
    if body.source is not None and "definition" in body.model_fields_set:
        raise invalid_request([Problem("source", "must not be sent together with definition")])


def _check(body: ValidationRequest) -> tuple[Any, Sequence[Problem]]:
    if body.source is not None:
        checked = check_text(body.source, body.type, body.trigger)
        return checked.document, checked.problems
    document = replace_trigger(body.definition, body.trigger)
    return document, find_problems(document, body.type or infer_type(document))


def _read_new_definition(body: NewAutomation) -> tuple[dict[str, Any], AutomationType]:
    require_single_definition(body)
    if body.source is not None:
        checked = require_valid_text(body.source, body.type)
        return checked.document, checked.automation_type
    if body.definition is None:
        raise invalid_request([Problem("definition", "is required")])
    type_ = body.type or infer_type(body.definition)
    require_valid(body.definition, type_)
    return body.definition, type_


@dataclass(frozen=True)
class DefinitionChange:
    """A definition to publish, and its text, None for one that was sent as an object."""

    definition: dict[str, Any]
    source: str | None


def _read_change(body: AutomationUpdate, before: AutomationDetail) -> DefinitionChange | None:
    """The valid definition that the body changes; None where it changes none. Raises `InvalidDefinition`."""
    if body.source is not None and body.definition is not None:
        raise invalid_request([Problem("source", "must not be sent together with definition")])
    if body.source is not None:
        if body.source == get_source(before["source"], before["definition"]):
            return None
        return DefinitionChange(require_valid_text(body.source, before["type"]).document, body.source)
    if body.definition is None or body.definition == before["definition"]:
        return None
    require_valid(body.definition, before["type"])
    return DefinitionChange(body.definition, rewrite_text(before["source"], body.definition))


def serialize_list(workspace_id: str, rows: Sequence[AutomationRow]) -> list[dict[str, Any]]:
    """Automations as list items; without `stats` where that switch is off."""
    items = [{"_id": row["id"], **to_api_fields(row)} for row in rows]
    if not switches.is_on(current_settings(), workspace_id, "stats_in_api"):
        return items
    day = runs.fetch_last_day(workspace_id, [row["id"] for row in rows])
    for item in items:
        item["stats"] = {"totalRuns": item["totalRuns"], "last24Hours": day[item["id"]]["last24_hours"]}
    return items


def require_automation(workspace_id: str, automation_id: str) -> AutomationDetail:
    """The workspace's automation. Raises `ProblemError` 404."""
    row = report.find(workspace_id, automation_id) if is_id(automation_id) else None
    if row is None:
        raise not_found("There is no automation with that id.")
    return row


def serialize_detail(workspace_id: str, automation_id: str, hook_token: str | None = None) -> dict[str, Any]:
    """An automation with its published definition, its text and its versions."""
    row = require_automation(workspace_id, automation_id)
    versions = [to_api_fields(version) for version in row["versions"]]
    # The secret is readable only now; a lost one can only be replaced.
    (item,) = serialize_list(workspace_id, [row])
    # The draft's text has a route of its own.
    del item["draftSource"]
    return {
        **item,
        "source": get_source(row["source"], row["definition"]),
        "versions": versions,
        "schedule": _serialize_schedule(row["schedule"]),
        "hookUrl": hook_token and _build_hook_url(hook_token),
    }


def _serialize_schedule(row: ScheduleStateRow | None) -> dict[str, Any] | None:
    """The next tick, and the ticks that were skipped together last."""
    if row is None:
        return None
    skipped = {"count": row["skipped_ticks"], "firstAt": row["skipped_from"], "lastAt": row["skipped_until"]}
    return {"nextAt": row["next_at"], "skipped": skipped if row["skipped_ticks"] else None}


def _build_hook_url(token: str) -> str:
    return f"{current_settings().url}/api/hooks/{token}"
