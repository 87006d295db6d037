"""Automations over HTTP: list, create, change, publish, delete, and validate a definition without saving it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

import metrics
from dashboard.access import Caller, current_settings
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText
from dashboard.definition_warnings import list_warnings
from dashboard.definitions import find_problems, require_valid
from dashboard.errors import not_found, serialize_problems
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
from rules.language import AutomationType, infer_type
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
    **LIST_FIELDS, definition=schemas.ANY, draft=schemas.ANY,
    draftSavedAt=schemas.nullable(schemas.TIME), draftSavedBy=schemas.nullable(schemas.TEXT), inFlight=schemas.COUNT,
    hookUrl=schemas.nullable(schemas.TEXT), schedule=schemas.nullable(SCHEDULE),
    versions=schemas.array_of(
        schemas.record(
            version=schemas.COUNT, publishedBy=schemas.TEXT, publishedAt=schemas.TIME,
            note=schemas.nullable(schemas.TEXT),
        )
    ),
)  # fmt: skip


class AutomationPage(schemas.Page):
    """The filters and page of the list."""

    q: ShortText | None = None
    type: AutomationType | None = None
    enabled: schemas.QueryBool | None = None


class NewAutomation(Body):
    """A new automation; its definition becomes version 1."""

    name: ShortText
    #: Without it: the type that the definition's trigger belongs to.
    type: AutomationType | None = None
    enabled: bool = True
    definition: dict[str, Any]


class AutomationUpdate(Body):
    """The fields to change. A new definition is published as the next version."""

    name: ShortText | None = None
    enabled: bool | None = None
    definition: dict[str, Any] | None = None
    automatic_retries: bool | None = Field(None, alias="automaticRetries")


class ValidationRequest(Body):
    """A definition to validate, and its type of automation; without one, the type that its trigger belongs to.
    `automationId` is the automation that it is for, which warnings leave out."""

    type: AutomationType | None = None
    automation_id: ShortText | None = Field(None, alias="automationId")
    definition: Annotated[Any, Field()]


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
            call.workspace_id, limit=limit, before=before, q=query.q, type=query.type, enabled=query.enabled
        ),
        query.limit,
    )
    return success(automations=serialize_list(call.workspace_id, rows), nextCursor=cursor)


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations",
    permission="write",
    body=NewAutomation,
    response={"automation": AUTOMATION, "warnings": schemas.PROBLEMS},
    status=201,
)
def create_automation(call: Caller, body: NewAutomation) -> Any:
    """Create an automation and publish its first version."""
    type_ = body.type or infer_type(body.definition)
    require_valid(body.definition, type_)
    publication = automation.create(
        call.workspace_id,
        name=body.name,
        type=type_,
        definition=body.definition,
        actor=call.actor,
        enabled=body.enabled,
        is_valid=True,
    )
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    warnings = list_warnings(call.workspace_id, body.definition, publication.automation_id)
    return success(
        201,
        automation=_serialize_detail(call.workspace_id, publication.automation_id, publication.hook_token),
        warnings=serialize_problems(warnings),
    )


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/validate",
    permission="read",
    body=ValidationRequest,
    response={"valid": schemas.BOOL, "errors": schemas.PROBLEMS, "warnings": schemas.PROBLEMS},
)
def validate_automation(call: Caller, body: ValidationRequest) -> Any:
    """Validate a definition without saving it. Warnings stop no publishing."""
    type_ = body.type or infer_type(body.definition)
    problems = find_problems(body.definition, type_)
    warnings = [] if problems else list_warnings(call.workspace_id, body.definition, body.automation_id)
    return success(valid=not problems, errors=serialize_problems(problems), warnings=serialize_problems(warnings))


@automations.api(
    "GET",
    "/api/workspaces/{workspace_id}/automations/{automation_id}",
    permission="read",
    response={"automation": AUTOMATION},
)
def show_automation(call: Caller, automation_id: str) -> Any:
    """Show an automation with its published definition and its versions."""
    return success(automation=_serialize_detail(call.workspace_id, automation_id))


def change_automation(call: Caller, automation_id: str, body: AutomationUpdate) -> Any:
    """Change an automation. A changed definition is published as the next version."""
    before = require_automation(call.workspace_id, automation_id)
    token = None
    is_changed = body.definition is not None and body.definition != before["definition"]
    if is_changed:
        require_valid(body.definition, before["type"])
    with acting_as(call.workspace_id):
        if body.name is not None:
            automation.rename(call.workspace_id, automation_id, body.name, call.actor)
        if body.enabled is not None:
            automation.toggle(call.workspace_id, automation_id, body.enabled, call.actor)
        if body.automatic_retries is not None:
            automation.set_automatic_retries(call.workspace_id, automation_id, body.automatic_retries, call.actor)
        if body.definition is not None and is_changed:
            token = automation.publish(
                call.workspace_id,
                automation_id,
                body.definition,
                call.actor,
                is_valid=True,
            ).hook_token
            metrics.operator_actions_total.labels(action="publish", result="done").inc()
    workflow_cache.invalidate(call.workspace_id)
    warnings = (
        list_warnings(call.workspace_id, body.definition, automation_id) if body.definition and is_changed else []
    )
    return success(
        automation=_serialize_detail(call.workspace_id, automation_id, token), warnings=serialize_problems(warnings)
    )


for _method in ("PUT", "PATCH"):
    automations.api(
        _method,
        "/api/workspaces/{workspace_id}/automations/{automation_id}",
        permission="write",
        body=AutomationUpdate,
        response={"automation": AUTOMATION, "warnings": schemas.PROBLEMS},
    )(change_automation)


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


def _serialize_detail(workspace_id: str, automation_id: str, hook_token: str | None = None) -> dict[str, Any]:
    row = require_automation(workspace_id, automation_id)
    versions = [to_api_fields(version) for version in row["versions"]]
    # The secret is readable only now; a lost one can only be replaced.
    (item,) = serialize_list(workspace_id, [row])
    return {
        **item,
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
