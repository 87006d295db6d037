"""Ends an experiment over HTTP: a new version has the steps of one variant instead of the split."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.automations import require_automation
from dashboard.bodies import Body, ShortText, WholeNumber
from dashboard.experiments import prepare_ending, publish_ending
from dashboard.resource import Resource
from dashboard.responses import success

experiments = Resource("experiments")


class ExperimentEnding(Body):
    """The id of the step `split` and the variant to keep. `version` is the published version that the caller has read;
    with another one in the meantime nothing is published. `dryRun` publishes nothing."""

    step: ShortText
    variant: ShortText
    version: Annotated[WholeNumber, Field(ge=1, le=2**31 - 1)] | None = None
    dry_run: bool = Field(False, alias="dryRun")


@experiments.api(
    "POST",
    "/api/workspaces/{workspace_id}/automations/{automation_id}/end-experiment",
    permission="write",
    body=ExperimentEnding,
    statuses=(409,),
    response={
        "version": schemas.COUNT, "published": schemas.BOOL, "inFlight": schemas.COUNT, "definition": schemas.ANY,
        "source": schemas.nullable(schemas.TEXT),
    },
)  # fmt: skip
def end_experiment(call: Caller, automation_id: str, body: ExperimentEnding) -> Any:
    """End an experiment: publish a version that has one variant's steps instead of the split."""
    row = require_automation(call.workspace_id, automation_id)
    ending = prepare_ending(row, body.step, body.variant)
    version = row["version"] + 1
    if not body.dry_run:
        version = publish_ending(call, ending, body.version or row["version"]).version
    return success(
        version=version, published=not body.dry_run, inFlight=row["in_flight"], definition=ending.definition,
        source=ending.source,
    )  # fmt: skip
