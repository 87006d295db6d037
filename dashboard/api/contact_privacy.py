"""Everything that is kept of a contact: exported as JSON, and erased."""

from __future__ import annotations

from typing import Any

import flask

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.api.contact_import import contacts
from dashboard.errors import not_found
from dashboard.responses import success
from models import audit
from models.reports import contact_export
from tasks.operators.contacts import erase_contact

# The routes are added to `contacts`; import `contacts` from this module to register them.
__all__ = ["contacts", "respond_with_export"]

_ROWS = schemas.array_of({"type": "object"})


@contacts.api(
    "GET",
    "/api/contacts/{contact_id}/export",
    permission="write",
    response={
        "exportedAt": schemas.TIME, "contact": {"type": "object"}, "suppressions": _ROWS, "suppressedAddresses": _ROWS,
        "emailTopics": _ROWS, "conversations": _ROWS, "receivedMessages": _ROWS, "possibleOptOuts": _ROWS,
        "messages": _ROWS, "executions": _ROWS, "triggers": _ROWS, "runs": _ROWS, "tasks": _ROWS,
        "trackedExecutions": _ROWS, "auditEntries": _ROWS,
    },
)  # fmt: skip
def export_contact(call: Caller, contact_id: str) -> Any:
    """Export everything that is kept of a contact."""
    return respond_with_export(call, contact_id)


def respond_with_export(call: Caller, contact_id: str) -> flask.Response:
    """The export as a download, in pieces. Raises `ProblemError` 404."""
    contact = contact_export.find(call.workspace_id, contact_id)
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
