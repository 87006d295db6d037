"""Duplicates an automation over HTTP: the copy is off, and its definition is a draft."""

from __future__ import annotations

from typing import Any

from dashboard.access import Caller
from dashboard.api.automations import AUTOMATION, require_automation, serialize_detail
from dashboard.bodies import Body, ShortText
from dashboard.duplicates import duplicate_automation
from dashboard.resource import Resource
from dashboard.responses import success

duplicates = Resource("duplicates")


class Duplication(Body):
    """The copy's name; without one, "Copy of" and the name of the automation."""

    name: ShortText | None = None


@duplicates.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/duplicate",
    permission="write",
    body=Duplication,
    body_required=False,
    statuses=(409,),
    response={"automation": AUTOMATION},
    status=201,
)
def duplicate(call: Caller, automation_id: str, body: Duplication) -> Any:
    """Duplicate an automation: the copy is off, and its definition is a draft."""
    row = require_automation(call.workspace_id, automation_id)
    copy = duplicate_automation(call, row, body.name)
    return success(201, automation=serialize_detail(call.workspace_id, copy["id"]))
