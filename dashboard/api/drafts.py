"""The draft of an automation: one text, saved while it is edited, until it is published or discarded.

`revision` counts every change of the draft. Who saves, discards or publishes names the revision that they read; where
another person changed it in the meantime, the answer is 409 with that person's text, so that both can be merged.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

import metrics
from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import (
    AUTOMATION,
    TEXT_PROBLEMS,
    WARNINGS,
    SourceText,
    require_automation,
    serialize_detail,
)
from dashboard.bodies import Body
from dashboard.definition_warnings import list_warnings
from dashboard.definitions import check_text, require_valid_text
from dashboard.errors import ProblemError, invalid_request, serialize_problems
from dashboard.resource import Resource
from dashboard.responses import success
from ephemeral import workflow_cache
from models import automation
from models.database import acting_as
from models.errors import Conflict
from models.reports.automations import AutomationDetail
from rules.definition_text import TextCheck, get_source, locate_problems
from rules.problems import Problem

drafts = Resource("drafts")

_PATH = "/api/workspaces/{workspace_id}/automations/{automation_id}/draft"
DRAFT = schemas.record(
    source=schemas.TEXT, baseVersion=schemas.COUNT, revision=schemas.COUNT, savedAt=schemas.TIME, savedBy=schemas.TEXT
)
ANSWER = {
    "draft": DRAFT, "revision": schemas.COUNT, "version": schemas.COUNT, "source": schemas.nullable(schemas.TEXT)
}  # fmt: skip
Revision = Annotated[int, Field(ge=0, lt=2**31)]


class DraftUpdate(Body):
    """The text, valid or not; the version that it changes, and the revision of the draft that its author read."""

    source: SourceText
    base_version: Revision = Field(alias="baseVersion")
    revision: Revision


class DraftQuery(Body):
    """The revision to discard, which is required."""

    revision: Annotated[int, schemas.QueryNumber(0, 2**31 - 1)] | None = None


class DraftPublication(Body):
    """The revision to publish, what it changes, and whether to turn the automation on or off."""

    revision: Revision
    note: Annotated[str, Field(max_length=200)] | None = None
    enabled: bool | None = None


@drafts.api("GET", _PATH, permission="read", response=ANSWER)
def show_draft(call: Caller, automation_id: str) -> Any:
    """Show the draft of an automation, null where there is none, beside the published text."""
    return success(**serialize_draft(require_automation(call.workspace_id, automation_id)))


@drafts.api(
    "PUT", _PATH, permission="write", body=DraftUpdate, statuses=(409,),
    response={**ANSWER, "valid": schemas.BOOL, "errors": TEXT_PROBLEMS, "warnings": WARNINGS},
)  # fmt: skip
def save_draft(call: Caller, automation_id: str, body: DraftUpdate) -> Any:
    """Save the draft, valid or not, and return its problems. Another person's draft is never overwritten."""
    row = require_automation(call.workspace_id, automation_id)
    checked = check_text(body.source, row["type"])
    document = checked.document if isinstance(checked.document, dict) else None
    try:
        automation.save_draft_source(
            call.workspace_id, automation_id, body.source, document, call.actor,
            base_version=body.base_version, revision=body.revision,
        )  # fmt: skip
    except Conflict as conflict:
        raise build_conflict(call, automation_id, conflict) from None
    saved = require_automation(call.workspace_id, automation_id)
    return success(**serialize_draft(saved), **_serialize_check(call, automation_id, body.source, checked))


@drafts.api("DELETE", _PATH, permission="write", query=DraftQuery, statuses=(409,), response=ANSWER)
def discard_draft(call: Caller, query: DraftQuery, automation_id: str) -> Any:
    """Discard the draft of an automation."""
    require_automation(call.workspace_id, automation_id)
    if query.revision is None:
        raise invalid_request([Problem("revision", "is required")])
    try:
        automation.discard_draft(call.workspace_id, automation_id, call.actor, revision=query.revision)
    except Conflict as conflict:
        raise build_conflict(call, automation_id, conflict) from None
    return success(**serialize_draft(require_automation(call.workspace_id, automation_id)))


@drafts.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/publish",
    permission="write",
    body=DraftPublication,
    statuses=(409,),
    response={"automation": AUTOMATION, "warnings": WARNINGS},
)
def publish_draft(call: Caller, automation_id: str, body: DraftPublication) -> Any:
    """Publish the draft of an automation as its next version. Errors stop it, warnings do not."""
    row = require_automation(call.workspace_id, automation_id)
    try:
        checked, token = _publish(call, row, body)
    except Conflict as conflict:
        raise build_conflict(call, automation_id, conflict) from None
    workflow_cache.invalidate(call.workspace_id)
    metrics.operator_actions_total.labels(action="publish", result="done").inc()
    warnings = list_warnings(call.workspace_id, checked.document, automation_id)
    return success(
        automation=serialize_detail(call.workspace_id, automation_id, token), warnings=serialize_problems(warnings)
    )


def _publish(call: Caller, row: AutomationDetail, body: DraftPublication) -> tuple[TextCheck, str | None]:
    text = get_draft_source(row)
    if row["draft_revision"] != body.revision:
        raise Conflict("The draft has changed in the meantime.", "revision")
    if text is None:
        raise Conflict("There is no draft to publish.", "revision")
    if row["definition"] is not None and text == get_source(row["source"], row["definition"]):
        raise Conflict(f"The draft is identical to version {row['version']}.", "revision")
    checked = require_valid_text(text, row["type"])
    with acting_as(call.workspace_id):
        publication = automation.publish(
            call.workspace_id, row["id"], checked.document, call.actor, expected_version=row["version"],
            expected_revision=body.revision, note=(body.note or "").strip() or None, is_valid=True,
            source=row["draft_source"],
        )  # fmt: skip
        if body.enabled is not None:
            automation.toggle(call.workspace_id, row["id"], body.enabled, call.actor)
    return checked, publication.hook_token


def get_draft_source(row: AutomationDetail) -> str | None:
    """The text of the draft; None where there is none."""
    return (get_source(row["draft_source"], row["draft"]) or "") if row["has_draft"] else None


def serialize_draft(row: AutomationDetail) -> dict[str, Any]:
    """The draft, its revision, which counts on without one, and what it began from."""
    source = get_draft_source(row)
    draft = None
    if source is not None:
        draft = {
            "source": source, "baseVersion": row["draft_base_version"], "revision": row["draft_revision"],
            "savedAt": row["draft_saved_at"], "savedBy": row["draft_saved_by"],
        }  # fmt: skip
    published = get_source(row["source"], row["definition"])
    return {"draft": draft, "revision": row["draft_revision"], "version": row["version"], "source": published}


def build_conflict(call: Caller, automation_id: str, conflict: Conflict) -> ProblemError:
    """409 with the draft as it is now, and the published text: what a page needs to merge."""
    newest = serialize_draft(require_automation(call.workspace_id, automation_id))
    problems = [Problem(conflict.path, conflict.message)] if conflict.path else []
    return ProblemError(409, conflict.message, problems, fields=newest)


def _serialize_check(call: Caller, automation_id: str, source: str, checked: TextCheck) -> dict[str, Any]:
    warnings = [] if checked.problems else list_warnings(call.workspace_id, checked.document, automation_id)
    return {
        "valid": not checked.problems,
        "errors": serialize_problems(checked.problems),
        "warnings": serialize_problems(locate_problems(source, warnings)),
    }
