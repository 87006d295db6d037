"""What would happen to a contact in an automation now: rules, path and messages. Nothing is sent or written."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field

from dashboard.access import Caller, current_settings
from dashboard.api import schemas
from dashboard.api.automations import SourceText, require_automation
from dashboard.bodies import Body, ShortText
from dashboard.definitions import get_text, require_valid_text
from dashboard.errors import ProblemError, invalid_request
from dashboard.resource import Resource
from dashboard.responses import success, to_api_fields
from models import contact
from models.ids import is_id
from models.reports.automations import AutomationDetail
from rules import samples
from rules.definition import parse
from rules.language import PLAYBOOK
from rules.problems import Problem
from tasks.operators.forecasts import Subject, find_answering, forecast
from tasks.operators.test_triggers import PLAYBOOK_NOT_TESTED

forecasts = Resource("forecasts")

RULE = schemas.record(
    rule=schemas.TEXT, passed=schemas.BOOL, limit=schemas.ANY, measured=schemas.ANY, words=schemas.TEXT,
    until=schemas.nullable(schemas.TIME),
)  # fmt: skip
STEP = schemas.record(
    id=schemas.TEXT, action=schemas.TEXT, at=schemas.TIME, output=schemas.ANY, message=schemas.ANY,
    error=schemas.nullable(schemas.TEXT), assumed=schemas.ANY,
)  # fmt: skip


class ForecastRequest(Body):
    """The text, without which the draft or else the published version is taken; a contact or a sample one; the event's
    payload, else a sample; and the assumed output of steps, by their ids."""

    source: SourceText | None = None
    contact_id: ShortText | None = Field(None, alias="contactId")
    sample: bool = False
    payload: dict[str, Any] | None = None
    assumptions: dict[str, dict[str, Any]] = Field(default_factory=dict, max_length=100)


@forecasts.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/what-would-happen",
    permission="read",
    body=ForecastRequest,
    body_required=False,
    response={
        "verdict": schemas.TEXT, "rule": schemas.nullable(schemas.TEXT), "words": schemas.nullable(schemas.TEXT),
        "rules": schemas.array_of(RULE), "steps": schemas.array_of(STEP), "payload": schemas.ANY,
        "answering": schemas.ANY,
    },
)  # fmt: skip
def forecast_automation(call: Caller, automation_id: str, body: ForecastRequest) -> Any:
    """Say what would happen to a contact in an automation now, without sending or writing anything."""
    row = require_automation(call.workspace_id, automation_id)
    if row["type"] == PLAYBOOK:
        raise ProblemError(409, PLAYBOOK_NOT_TESTED)
    subject = _build_subject(call, row, body)
    result = forecast(current_settings(), subject)
    return success(
        verdict=result.verdict,
        rule=result.rule,
        words=result.words,
        rules=[{"rule": item.rule, "passed": item.passed, **item.detail, "until": item.until} for item in result.rules],
        steps=[_serialize_step(asdict(step)) for step in result.steps],
        payload=subject.payload,
        answering=find_answering(subject),
    )


def _build_subject(call: Caller, row: AutomationDetail, body: ForecastRequest) -> Subject:
    text = get_text(row) if body.source is None else body.source
    document = require_valid_text(text, row["type"]).document
    if body.sample and body.contact_id is not None:
        raise invalid_request([Problem("sample", "must not be sent together with contactId")])
    has_contact = body.contact_id is None or (
        is_id(body.contact_id) and contact.get(call.workspace_id, body.contact_id) is not None
    )
    if not has_contact:
        raise invalid_request([Problem("contactId", "is the id of no contact of this workspace")])
    return Subject(
        call.workspace_id, row["id"], row["name"], row["type"], row["enabled"], parse(document),
        samples.build_payload(document) if body.payload is None else body.payload,
        contact_id=body.contact_id,
        sample=samples.build_contacts(1, document)[0] if body.contact_id is None else None,
        assumptions=body.assumptions, exclusive=document.get("exclusive", True),
    )  # fmt: skip


def _serialize_step(step: dict[str, Any]) -> dict[str, Any]:
    message = step["message"] and to_api_fields(step["message"])
    return {**step, "message": message}
