"""Automations over HTTP: list, make, change, publish, delete, and judge a definition without keeping it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

import metrics
from dashboard.access import Caller, settings
from dashboard.answers import named, paged, row_id_of, success
from dashboard.api import shapes
from dashboard.bodies import Body, ShortText
from dashboard.errors import not_there, shown
from dashboard.resource import Resource
from ephemeral import workflow_cache
from models import automation
from models.database import Row, acting_as, db
from models.ids import is_id
from models.reports import automations as report
from models.reports import runs
from rules.validation import validate
from tasks import operators, switches

automations = Resource("automations")

Type = Literal["workflow", "comment_to_dm", "story_reply", "dm_responder", "playbook", "ai_follow_up"]

LISTED = {
    "_id": shapes.ID, "id": shapes.ID, "name": shapes.TEXT, "type": shapes.TEXT, "enabled": shapes.BOOL,
    "version": shapes.COUNT, "triggerType": shapes.maybe(shapes.TEXT), "totalRuns": shapes.COUNT,
    "lastRunAt": shapes.maybe(shapes.TIME), "lastExecutedAt": shapes.maybe(shapes.TIME),
    "executions": shapes.COUNT, "succeeded": shapes.COUNT, "failed": shapes.COUNT, "skipped": shapes.COUNT,
    "pausedAt": shapes.maybe(shapes.TIME), "hasDraft": shapes.BOOL, "createdAt": shapes.TIME,
    "updatedAt": shapes.TIME, "stats": shapes.record(totalRuns=shapes.COUNT, last24Hours=shapes.COUNT),
}  # fmt: skip
ONE = shapes.record(
    **LISTED, definition=shapes.ANY, draft=shapes.ANY, inFlight=shapes.COUNT, hookUrl=shapes.maybe(shapes.TEXT),
    versions=shapes.listing(shapes.record(version=shapes.COUNT, publishedBy=shapes.TEXT, publishedAt=shapes.TIME)),
)  # fmt: skip


class AutomationPage(shapes.Page):
    """Which automations."""

    q: ShortText | None = None
    type: Type | None = None
    enabled: shapes.QueryTruth | None = None


class NewAutomation(Body):
    """An automation with the definition that becomes its version 1."""

    name: ShortText
    type: Type = "workflow"
    enabled: bool = True
    definition: dict[str, Any]


class ChangedAutomation(Body):
    """What is given changes. A new definition is published as the next version."""

    name: ShortText | None = None
    enabled: bool | None = None
    definition: dict[str, Any] | None = None


class Judged(Body):
    """A definition to be judged, and the type of automation that it is for."""

    type: Type = "workflow"
    definition: Annotated[Any, Field()]


@automations.api(
    "GET",
    "/api/workspaces/{workspace_id}/automations",
    permission="read",
    query=AutomationPage,
    answer={"automations": shapes.listing(shapes.record(**LISTED)), "nextCursor": shapes.maybe(shapes.TEXT)},
)
def list_automations(call: Caller, query: AutomationPage) -> Any:
    """List automations, newest first."""
    before = row_id_of(query.cursor)
    found, cursor = paged(
        lambda limit: report.page(
            call.workspace_id, limit=limit, before=before, q=query.q, type=query.type, enabled=query.enabled
        ),
        query.limit,
    )
    return success(automations=listed(call.workspace_id, found), nextCursor=cursor)


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations",
    permission="write",
    body=NewAutomation,
    answer={"automation": ONE},
    status=201,
)
def create_automation(call: Caller, body: NewAutomation) -> Any:
    """Make an automation and publish its first version."""
    made = automation.create(
        call.workspace_id,
        name=body.name,
        type=body.type,
        definition=body.definition,
        actor=call.actor,
        enabled=body.enabled,
        networks=settings().webhook_allowed_networks,
    )
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    return success(201, automation=_shown(call.workspace_id, made.automation_id, made.hook_token))


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/validate",
    permission="read",
    body=Judged,
    answer={"valid": shapes.BOOL, "errors": shapes.PROBLEMS},
)
def judge_automation(call: Caller, body: Judged) -> Any:  # noqa: ARG001
    """Judge a definition without keeping it."""
    problems = validate(body.definition, automation_type=body.type, networks=settings().webhook_allowed_networks)
    return success(valid=not problems, errors=shown(problems))


@automations.api(
    "GET",
    "/api/workspaces/{workspace_id}/automations/{automation_id}",
    permission="read",
    answer={"automation": ONE},
)
def show_automation(call: Caller, automation_id: str) -> Any:
    """Show one automation with its published definition and its versions."""
    return success(automation=_shown(call.workspace_id, automation_id))


def change_automation(call: Caller, automation_id: str, body: ChangedAutomation) -> Any:
    """Change an automation. A definition other than the published one becomes the next version."""
    before = automation_of(call.workspace_id, automation_id)
    token = None
    with acting_as(call.workspace_id):
        if body.name is not None:
            automation.rename(call.workspace_id, automation_id, body.name, call.actor)
        if body.enabled is not None:
            automation.toggle(call.workspace_id, automation_id, body.enabled, call.actor)
        if body.definition is not None and body.definition != before["definition"]:
            token = automation.publish(
                call.workspace_id,
                automation_id,
                body.definition,
                call.actor,
                networks=settings().webhook_allowed_networks,
            ).hook_token
            metrics.operator_actions_total.labels(action="publish", result="done").inc()
    workflow_cache.invalidate(call.workspace_id)
    return success(automation=_shown(call.workspace_id, automation_id, token))


for _method in ("PUT", "PATCH"):
    automations.api(
        _method,
        "/api/workspaces/{workspace_id}/automations/{automation_id}",
        permission="write",
        body=ChangedAutomation,
        answer={"automation": ONE},
    )(change_automation)


@automations.api(
    "DELETE",
    "/api/workspaces/{workspace_id}/automations/{automation_id}",
    permission="write",
    answer={"cancelled": shapes.COUNT},
)
def delete_automation(call: Caller, automation_id: str) -> Any:
    """Delete an automation and cancel what it has in flight; its history stays."""
    with acting_as(call.workspace_id):
        cancelled = automation.delete(
            call.workspace_id,
            automation_id,
            call.actor,
            lambda: operators.cancel_in_flight(call.workspace_id, automation_id, call.actor),
        )
        db.after_commit(lambda: workflow_cache.invalidate(call.workspace_id))
    metrics.operator_actions_total.labels(action="delete", result="done").inc()
    return success(cancelled=cancelled)


@automations.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/hook",
    permission="write",
    answer={"hookUrl": shapes.TEXT},
    status=201,
)
def renew_hook(call: Caller, automation_id: str) -> Any:
    """Give an automation a new secret address for `hook` triggers; the one before stops working."""
    token = automation.new_hook_token(call.workspace_id, automation_id, call.actor)
    return success(201, hookUrl=_hook_url(token))


def listed(workspace_id: str, found: Sequence[Row]) -> list[dict[str, Any]]:
    """Automations as lists have them; without `stats` where that switch is off."""
    shown = [{"_id": one["id"], **named(one)} for one in found]
    if not switches.is_on(settings(), workspace_id, "stats_in_api"):
        return shown
    day = runs.last_day(workspace_id, [one["id"] for one in found])
    for one in shown:
        one["stats"] = {"totalRuns": one["totalRuns"], "last24Hours": day[one["id"]]["last24_hours"]}
    return shown


def automation_of(workspace_id: str, automation_id: str) -> Row:
    """The workspace's automation as `models.reports.automations.one` has it; raises the refusal where none is there."""
    found = report.one(workspace_id, automation_id) if is_id(automation_id) else None
    if found is None:
        raise not_there("There is no automation by that id.")
    return found


def _shown(workspace_id: str, automation_id: str, hook_token: str | None = None) -> dict[str, Any]:
    found = automation_of(workspace_id, automation_id)
    versions = [named(one) for one in found["versions"]]
    # The secret is readable this once; afterwards only a new one can be made.
    (shown,) = listed(workspace_id, [found])
    return {**shown, "versions": versions, "hookUrl": hook_token and _hook_url(hook_token)}


def _hook_url(token: str) -> str:
    return f"{settings().url}/api/hooks/{token}"
