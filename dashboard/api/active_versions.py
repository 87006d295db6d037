"""Executions in flight by version over HTTP: where they are, and moving them to the published version."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

import metrics
from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import require_automation
from dashboard.bodies import Body, WholeNumber
from dashboard.resource import Resource
from dashboard.responses import success
from tasks.operators.active_moves import PlaceOfExecutions, list_places, move_active

active_versions = Resource("active-versions")

_PATH = "/api/workspaces/{workspace_id}/automations/{automation_id}/in-flight"
_PLACE = schemas.record(
    version=schemas.COUNT, place=schemas.TEXT, count=schemas.COUNT, refusal=schemas.nullable(schemas.TEXT),
    outcome=schemas.nullable(schemas.TEXT),
)  # fmt: skip


class ActiveMove(Body):
    """The versions whose executions move; without it all. `dryRun` moves nothing."""

    versions: Annotated[list[Annotated[WholeNumber, Field(ge=1, le=2**31 - 1)]], Field(max_length=1000)] | None = None
    dry_run: bool = Field(False, alias="dryRun")


@active_versions.api(
    "GET", _PATH, permission="read",
    response={"version": schemas.COUNT, "places": schemas.array_of(_PLACE)},
)  # fmt: skip
def show_in_flight(call: Caller, automation_id: str) -> Any:
    """Show where the executions in flight of an automation are, by version, and what moving them would do."""
    row = require_automation(call.workspace_id, automation_id)
    return success(version=row["version"], places=_serialize(list_places(call.workspace_id, automation_id)))


@active_versions.api(
    "POST", f"{_PATH}/move", permission="write", body=ActiveMove, body_required=False,
    response={
        "matched": schemas.COUNT, "moved": schemas.COUNT, "left": schemas.COUNT, "places": schemas.array_of(_PLACE),
    },
)  # fmt: skip
def move_in_flight(call: Caller, automation_id: str, body: ActiveMove) -> Any:
    """Move executions in flight of older versions to the published version, where the plan allows it."""
    row = require_automation(call.workspace_id, automation_id)
    places = [
        place
        for place in list_places(call.workspace_id, automation_id)
        if place.version != row["version"] and (body.versions is None or place.version in body.versions)
    ]
    matched = sum(place.count for place in places if place.refusal is None)
    left = sum(place.count for place in places) - matched
    if body.dry_run or not places:
        return success(matched=matched, moved=0, left=left, places=_serialize(places))
    result = move_active(call.workspace_id, automation_id, {place.version for place in places}, call.actor)
    metrics.operator_actions_total.labels(action="move", result="done").inc()
    return success(matched=matched, moved=result.moved, left=result.left, places=_serialize(places))


def _serialize(places: list[PlaceOfExecutions]) -> list[dict[str, Any]]:
    return [asdict(place) for place in places]
