"""Drafts of definitions from descriptions over HTTP. Nothing is saved."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import TEXT_PROBLEMS, require_automation
from dashboard.bodies import Body, ShortText
from dashboard.errors import invalid_request, serialize_problems
from dashboard.proposals import MAX_DESCRIPTION, propose
from dashboard.resource import Resource
from dashboard.responses import success
from models.ids import is_id
from rules.problems import Problem

proposals = Resource("proposals")


class DescriptionRequest(Body):
    """What the automation does, in words; with `automationId`, what to change in that automation's draft."""

    description: Annotated[str, Field(min_length=1, max_length=MAX_DESCRIPTION)]
    automation_id: ShortText | None = Field(None, alias="automationId")


@proposals.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/draft-from-description",
    permission="write",
    body=DescriptionRequest,
    statuses=(409,),
    response={
        "source": schemas.TEXT, "problems": TEXT_PROBLEMS, "from": {"enum": ["model", "template"]},
        "name": schemas.TEXT, "type": schemas.TEXT, "urls": schemas.array_of(schemas.TEXT),
    },
)  # fmt: skip
def draft_from_description(call: Caller, body: DescriptionRequest) -> Any:
    """Draft a definition from a description. The draft is validated and nothing is saved."""
    if not body.description.strip():
        raise invalid_request([Problem("description", "must not be empty")])
    row = None
    if body.automation_id is not None:
        if not is_id(body.automation_id):
            raise invalid_request([Problem("automationId", "is the id of no automation of this workspace")])
        row = require_automation(call.workspace_id, body.automation_id)
    proposal = propose(call, body.description, row)
    return success(
        source=proposal.source,
        problems=serialize_problems(proposal.problems),
        **{"from": proposal.origin},
        name=proposal.name,
        type=proposal.type,
        urls=proposal.urls,
    )
