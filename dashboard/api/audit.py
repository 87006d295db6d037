"""The audit log over HTTP: who changed what, with the values before and after. For owners only."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import ShortText
from dashboard.resource import Resource
from dashboard.responses import fetch_page, parse_row_cursor, success, to_api_fields
from models import audit
from models.audit import AuditFilters
from models.tables.workspaces import AuditActorKind

audit_log = Resource("audit")

ActorChoice = Annotated[str, schemas.Choice(get_args(AuditActorKind))]


class AuditQuery(schemas.Page):
    """The filters of the audit log. `action` is a name, or the beginning of names up to and with a dot."""

    actor: ShortText | None = None
    actor_kind: ActorChoice | None = Field(None, alias="actorKind")
    action: ShortText | None = None
    object_kind: ShortText | None = Field(None, alias="objectKind")
    object_id: ShortText | None = Field(None, alias="objectId")
    since: schemas.Moment | None = Field(None, alias="from")
    until: schemas.Moment | None = Field(None, alias="to")

    def to_filters(self) -> AuditFilters:
        """The filters for the query of entries."""
        return AuditFilters(
            actor=self.actor,
            actor_kind=self.actor_kind,
            action=self.action,
            object_kind=self.object_kind,
            object_id=self.object_id,
            since=schemas.parse_moment(self.since) if self.since else None,
            until=schemas.parse_moment(self.until) if self.until else None,
        )


@audit_log.api(
    "GET",
    "/api/audit",
    permission="admin",
    query=AuditQuery,
    response={
        "entries": schemas.array_of(
            schemas.record(
                id=schemas.ID, actorKind=schemas.TEXT, actorName=schemas.TEXT, action=schemas.TEXT,
                objectKind=schemas.TEXT, objectId=schemas.TEXT, detail=schemas.ANY, at=schemas.TIME,
            )
        ),
        "nextCursor": schemas.nullable(schemas.TEXT),
    },
)  # fmt: skip
def list_audit(call: Caller, query: AuditQuery) -> Any:
    """List the audit log, newest first."""
    before, filters = parse_row_cursor(query.cursor), query.to_filters()
    rows, cursor = fetch_page(lambda limit: audit.fetch_page(call.workspace_id, limit, before, filters), query.limit)
    return success(entries=[to_api_fields(row) for row in rows], nextCursor=cursor)
