"""Executions of playbooks over HTTP: a filtered list, and one with its actions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText
from dashboard.errors import not_found
from dashboard.resource import Resource
from dashboard.responses import fetch_page, parse_row_cursor, success, to_api_fields
from models.ids import is_id
from models.reports import tracked_executions as report
from models.reports.tracked_executions import TrackedFilters, TrackedRow
from rules.tracking import DeviceType

tracked_executions = Resource("tracked-executions")

_FIELDS = {
    "id": schemas.ID, "executionId": schemas.nullable(schemas.TEXT), "automationId": schemas.ID,
    "automationName": schemas.TEXT, "status": schemas.TEXT, "executionTimeMs": schemas.nullable(schemas.COUNT),
    "pageUrl": schemas.nullable(schemas.TEXT), "sessionId": schemas.nullable(schemas.TEXT),
    "userId": schemas.nullable(schemas.TEXT), "deviceType": schemas.nullable(schemas.TEXT),
    "triggerName": schemas.nullable(schemas.TEXT), "actionCount": schemas.COUNT, "failedActions": schemas.COUNT,
    "executedAt": schemas.TIME,
}  # fmt: skip
#: An action: `config` is as the browser sent it, `error` is null unless it failed.
_ACTION = schemas.record(
    name=schemas.nullable(schemas.TEXT),
    selector=schemas.nullable(schemas.TEXT),
    executionTimeMs=schemas.nullable(schemas.COUNT),
    config=schemas.ANY,
    error=schemas.nullable(schemas.TEXT),
)
_EXECUTION = schemas.component(
    "PlaybookExecution", "An execution of a playbook in a visitor's browser, as it was reported.", **_FIELDS
)


class Filters(Body):
    """The filters of tracked executions; all must match. `failed` are errors and time-outs together."""

    automation_id: ShortText | None = Field(None, alias="automationId")
    status: Literal["success", "error", "timeout", "failed"] | None = None
    device_type: DeviceType | None = Field(None, alias="deviceType")
    page: ShortText | None = None
    trigger_name: ShortText | None = Field(None, alias="triggerName")
    q: ShortText | None = None
    since: schemas.Moment | None = Field(None, alias="from")
    until: schemas.Moment | None = Field(None, alias="to")

    def matches_nothing(self) -> bool:
        """Whether the automation's id is invalid, so that no execution matches."""
        return self.automation_id is not None and not is_id(self.automation_id)

    def to_filters(self) -> TrackedFilters:
        """The filters for the reports."""
        return TrackedFilters(
            automation_id=self.automation_id,
            status=self.status,
            device_type=self.device_type,
            page=self.page,
            trigger_name=self.trigger_name,
            q=self.q,
            since=schemas.parse_moment(self.since) if self.since else None,
            until=schemas.parse_moment(self.until) if self.until else None,
        )


class TrackedPage(Filters, schemas.Page):
    """The filters and page of the list."""


@tracked_executions.api(
    "GET",
    "/api/tracked-executions",
    permission="read",
    query=TrackedPage,
    response={"executions": schemas.array_of(_EXECUTION), "nextCursor": schemas.nullable(schemas.TEXT)},
)
def list_tracked_executions(call: Caller, query: TrackedPage) -> Any:
    """List executions of playbooks, newest first."""
    before = parse_row_cursor(query.cursor)
    if query.matches_nothing():
        return success(executions=[], nextCursor=None)
    filters = query.to_filters()
    rows, cursor = fetch_page(lambda limit: report.fetch_page(call.workspace_id, filters, limit, before), query.limit)
    return success(executions=[_serialize(row) for row in rows], nextCursor=cursor)


@tracked_executions.api(
    "GET",
    "/api/tracked-executions/{tracked_execution_id}",
    permission="read",
    response={"execution": schemas.record(**_FIELDS, actions=schemas.array_of(_ACTION))},
)
def show_tracked_execution(call: Caller, tracked_execution_id: str) -> Any:
    """Show an execution of a playbook with its actions."""
    row = report.fetch_detail(call.workspace_id, tracked_execution_id)
    if row is None:
        raise not_found("There is no execution of a playbook with that id.")
    actions = [to_api_fields(action) for action in row["actions"]]
    return success(execution={**_serialize(row), "actions": actions})


def _serialize(row: TrackedRow) -> dict[str, Any]:
    fields = to_api_fields(row)
    return {name: fields[name] for name in _FIELDS}
