"""Everything that is kept of a contact: exported as JSON, erased, or merged into another contact."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.contact_import import contacts
from dashboard.api.contacts import resolve_contact
from dashboard.bodies import Body, ShortText
from dashboard.errors import ProblemError, not_found
from dashboard.responses import success
from models import audit
from models.ids import is_id
from models.reports import contact_export
from tasks.operators.contacts import erase_contact, merge_contacts

# The routes are added to `contacts`; import `contacts` from this module to register them.
__all__ = ["contacts", "respond_with_export"]

_ROWS = schemas.array_of({"type": "object"})


@contacts.api(
    "GET",
    "/api/contacts/{contact_id}/export",
    permission="write",
    response={
        "exportedAt": schemas.TIME, "contact": {"type": "object"}, "mergedContacts": _ROWS,
        "suppressions": _ROWS, "suppressedAddresses": _ROWS, "suppressedTopics": _ROWS,
        "emailTopics": _ROWS, "conversations": _ROWS, "receivedMessages": _ROWS, "possibleOptOuts": _ROWS,
        "helpReplies": _ROWS, "messages": _ROWS, "executions": _ROWS, "triggers": _ROWS, "runs": _ROWS, "tasks": _ROWS,
        "trackedExecutions": _ROWS, "auditEntries": _ROWS,
    },
)  # fmt: skip
def export_contact(call: Caller, contact_id: str) -> Any:
    """Export everything that is kept of a contact."""
    return respond_with_export(call, contact_id)


def respond_with_export(call: Caller, contact_id: str) -> flask.Response:
    """The export as a download, in pieces. Raises `ProblemError` 404."""
    contact = contact_export.find(call.workspace_id, resolve_contact(call, contact_id))
    if contact is None:
        raise not_found("There is no contact with that id.")
    audit.record(call.workspace_id, call.actor, "contact.exported", "contact", contact["id"])
    headers = {"Content-Disposition": f'attachment; filename="contact-{contact["id"]}.json"'}
    pieces = contact_export.write_json(call.workspace_id, contact)
    return flask.Response(pieces, mimetype="application/json", headers=headers)


@contacts.api(
    "POST",
    "/api/contacts/{contact_id}/erase",
    permission="admin",
    response={"cancelled": schemas.COUNT, "erased": {"type": "object", "additionalProperties": {"type": "integer"}}},
    status=202,
    statuses=(409,),
)
def erase(call: Caller, contact_id: str) -> Any:
    """Erase a contact: its names, addresses and texts, wherever they are kept. Its active executions are cancelled."""
    result = erase_contact(call.workspace_id, contact_id, call.actor)
    return success(202, cancelled=result.cancelled, erased=result.erased)


class Merge(Body):
    """`into` is the id of the contact that stays."""

    into: ShortText


@contacts.api(
    "POST",
    "/api/contacts/{contact_id}/merge",
    permission="write",
    body=Merge,
    response={"contactId": schemas.ID, "executions": schemas.COUNT, "cancelled": schemas.COUNT},
    status=202,
    statuses=(404, 409),
)
def merge(call: Caller, contact_id: str, body: Merge) -> Any:
    """Merge a contact into another: all that it has goes over, and its id keeps answering."""
    if not is_id(body.into):
        raise ProblemError(404, "There is no contact to merge into with that id.")
    target_id = body.into.lower()
    result = merge_contacts(call.workspace_id, contact_id, target_id, call.actor)
    return success(202, contactId=target_id, executions=result.executions, cancelled=result.cancelled)
