"""Messages that may be opt-outs over HTTP: listed, and resolved by an operator."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body
from dashboard.resource import Resource
from dashboard.responses import fetch_page, parse_row_cursor, success, to_api_fields
from models import possible_opt_out
from models.possible_opt_out import PossibleOptOutRow
from models.tables.contacts import OptOutResolution

possible_opt_outs = Resource("possible-opt-outs")

_FIELDS = (
    "id", "contact_id", "channel", "address", "text", "created_at", "resolved_as", "resolved_at", "resolved_by",
)  # fmt: skip
POSSIBLE_OPT_OUT = schemas.record(
    id=schemas.ID, contactId=schemas.ID, channel=schemas.TEXT, address=schemas.nullable(schemas.TEXT),
    text=schemas.nullable(schemas.TEXT), createdAt=schemas.TIME,
    resolvedAs={"enum": [*get_args(OptOutResolution), None]}, resolvedAt=schemas.nullable(schemas.TIME),
    resolvedBy=schemas.nullable(schemas.TEXT),
)  # fmt: skip


class PossibleOptOutPage(schemas.Page):
    """The page, of those that nobody has judged or of the resolved ones."""

    status: Annotated[str, schemas.Choice(("open", "resolved"))] = "open"


class OptOutDecision(Body):
    """What becomes of the message: the contact is suppressed on its channel, or nothing follows."""

    as_: OptOutResolution = Field(alias="as")


@possible_opt_outs.api(
    "GET",
    "/api/possible-opt-outs",
    permission="read",
    query=PossibleOptOutPage,
    response={"possibleOptOuts": schemas.array_of(POSSIBLE_OPT_OUT), "nextCursor": schemas.nullable(schemas.TEXT)},
)
def list_possible_opt_outs(call: Caller, query: PossibleOptOutPage) -> Any:
    """List messages that may be opt-outs, newest first."""
    before, is_resolved = parse_row_cursor(query.cursor), query.status == "resolved"
    rows, cursor = fetch_page(
        lambda limit: possible_opt_out.fetch_page(call.workspace_id, limit, before, is_resolved=is_resolved),
        query.limit,
    )
    return success(possibleOptOuts=[_to_api(row) for row in rows], nextCursor=cursor)


@possible_opt_outs.api(
    "POST",
    "/api/possible-opt-outs/{possible_opt_out_id}/resolve",
    permission="write",
    body=OptOutDecision,
    response={"possibleOptOut": POSSIBLE_OPT_OUT},
    statuses=(409,),
)
def resolve_possible_opt_out(call: Caller, possible_opt_out_id: str, body: OptOutDecision) -> Any:
    """Suppress the contact of a message, or dismiss the message."""
    row = possible_opt_out.resolve(call.workspace_id, possible_opt_out_id, body.as_, call.actor)
    return success(possibleOptOut=_to_api(row))


def _to_api(row: PossibleOptOutRow) -> dict[str, Any]:
    return to_api_fields({name: value for name, value in row.items() if name in _FIELDS})
