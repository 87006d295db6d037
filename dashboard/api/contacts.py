"""Contacts over HTTP: list, search, create, change, suppress and delete."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dashboard.access import Caller
from dashboard.api import schemas
from dashboard.bodies import Body, ShortText
from dashboard.errors import ProblemError, invalid_request, not_found
from dashboard.resource import Resource
from dashboard.responses import fetch_page, parse_row_cursor, success, to_api_fields
from models import audit, contact, contact_matching, contact_merge, suppression
from models.contact_matching import ContactRejection
from models.database import acting_as
from models.reports import contacts as report
from models.reports.contacts import ContactFilters
from rules.channels import CONTACT_CHANNELS
from rules.contact_fields import ContactFields
from rules.contacts import normalise
from rules.problems import Problem
from tasks.operators import actions as operator_actions

contacts = Resource("contacts")

Channel = Annotated[str, schemas.Choice(CONTACT_CHANNELS)]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
SuppressedFilter = Annotated[str, schemas.Choice((*CONTACT_CHANNELS, "any"))]

CONTACT = schemas.record(
    id=schemas.ID, externalId=schemas.nullable(schemas.TEXT), firstName=schemas.nullable(schemas.TEXT),
    lastName=schemas.nullable(schemas.TEXT), username=schemas.nullable(schemas.TEXT),
    email=schemas.nullable(schemas.TEXT), phone=schemas.nullable(schemas.TEXT),
    facebookId=schemas.nullable(schemas.TEXT), instagramId=schemas.nullable(schemas.TEXT),
    timezone=schemas.nullable(schemas.TEXT), tags=schemas.array_of(schemas.TEXT), attributes={"type": "object"},
    suppressed=schemas.array_of(schemas.record(channel=schemas.TEXT, reason=schemas.TEXT)),
    lastEventAt=schemas.nullable(schemas.TIME), createdAt=schemas.TIME, updatedAt=schemas.TIME,
)  # fmt: skip


class ContactPage(schemas.Page):
    """The filters and page: `q` is an id, an address or the beginning of a name; `suppressed` a channel or "any"."""

    q: ShortText | None = None
    tag: ShortText | None = None
    suppressed: SuppressedFilter | None = None


class NewSuppression(Body):
    """The channel to suppress."""

    channel: Channel


class LiftReason(Body):
    """Why a suppression is lifted; the audit log keeps it."""

    reason: Reason


@contacts.api(
    "GET",
    "/api/contacts",
    permission="read",
    query=ContactPage,
    response={"contacts": schemas.array_of(CONTACT), "nextCursor": schemas.nullable(schemas.TEXT)},
)
def list_contacts(call: Caller, query: ContactPage) -> Any:
    """List contacts, newest first."""
    before = parse_row_cursor(query.cursor)
    filters = ContactFilters(q=query.q, tag=query.tag, suppressed=query.suppressed)
    rows, cursor = fetch_page(
        lambda limit: report.fetch_page(call.workspace_id, filters, limit=limit, before=before),
        query.limit,
    )
    return success(contacts=[to_api_fields(row) for row in rows], nextCursor=cursor)


@contacts.api(
    "POST",
    "/api/contacts",
    permission="write",
    body=ContactFields,
    response={"contact": CONTACT},
    status=201,
    statuses=(200, 409),
)
def save_contact(call: Caller, body: ContactFields) -> Any:
    """Create a contact (201) or update the one that matches (200). Contacts match as in a trigger."""
    fields = _normalise_fields(body)
    if not any(fields.values()):
        raise invalid_request([Problem("", "must have at least one field")])
    with acting_as(call.workspace_id):
        (result,) = contact_matching.match_or_create(call.workspace_id, [(None, fields)])
        if isinstance(result, ContactRejection):
            path = result.path.removeprefix("contact.")
            raise ProblemError(result.status, result.message, [Problem(path, result.message)])
        assert result is not None
        contact_id = result["id"]
        is_new = contact.is_newly_created(contact_id)
        action = "contact.created" if is_new else "contact.changed"
        detail = {"fields": sorted(fields), "after": fields}
        audit.record(call.workspace_id, call.actor, action, "contact", contact_id, detail)
    return success(201 if is_new else 200, contact=_fetch_contact(call, contact_id))


@contacts.api("GET", "/api/contacts/{contact_id}", permission="read", response={"contact": CONTACT})
def show_contact(call: Caller, contact_id: str) -> Any:
    """Show a contact."""
    return success(contact=_fetch_contact(call, contact_id))


def _normalise_fields(body: ContactFields) -> dict[str, Any]:
    """The fields of the request, normalised, by column name. Raises `ProblemError` 422."""
    fields, problems = normalise(body.model_dump(by_alias=True, exclude_unset=True))
    if problems:
        raise invalid_request(problems)
    return fields


def change_contact(call: Caller, contact_id: str, body: ContactFields) -> Any:
    """Change fields of a contact. Attributes are merged; null clears a field."""
    contact.change(call.workspace_id, resolve_contact(call, contact_id), _normalise_fields(body), call.actor)
    return success(contact=_fetch_contact(call, contact_id))


for _method in ("PUT", "PATCH"):
    contacts.api(
        _method,
        "/api/contacts/{contact_id}",
        permission="write",
        body=ContactFields,
        response={"contact": CONTACT},
        statuses=(409,),
    )(change_contact)


@contacts.api("DELETE", "/api/contacts/{contact_id}", permission="write", response={"cancelled": schemas.COUNT})
def delete_contact(call: Caller, contact_id: str) -> Any:
    """Delete a contact and cancel its active executions. Its addresses become available; its history stays."""
    return success(cancelled=operator_actions.delete_contact(call.workspace_id, contact_id, call.actor))


@contacts.api(
    "POST",
    "/api/contacts/{contact_id}/suppressions",
    permission="write",
    body=NewSuppression,
    response={"contact": CONTACT},
    status=201,
    statuses=(409,),
)
def suppress_contact(call: Caller, contact_id: str, body: NewSuppression) -> Any:
    """Suppress a contact on one channel."""
    suppression.add(call.workspace_id, resolve_contact(call, contact_id), body.channel, call.actor)
    return success(201, contact=_fetch_contact(call, contact_id))


@contacts.api(
    "DELETE",
    "/api/contacts/{contact_id}/suppressions/{channel}",
    parts={"channel": schemas.one_of(CONTACT_CHANNELS)},
    permission="write",
    body=LiftReason,
    response={"contact": CONTACT},
    statuses=(409,),
)
def lift_suppression(call: Caller, contact_id: str, channel: str, body: LiftReason) -> Any:
    """Lift the suppression of a contact on one channel."""
    if channel not in CONTACT_CHANNELS:
        raise not_found("There is no channel with this name.")
    suppression.lift(call.workspace_id, contact_id, channel, call.actor, body.reason.strip())
    return success(contact=_fetch_contact(call, contact_id))


def _fetch_contact(call: Caller, contact_id: str) -> dict[str, Any]:
    row = contact.get(call.workspace_id, resolve_contact(call, contact_id))
    if row is None:
        raise not_found("There is no contact with that id.")
    return to_api_fields(row)


def resolve_contact(call: Caller, contact_id: str) -> str:
    """The id of the contact that this one is merged into, or its own."""
    return contact_merge.find_target(call.workspace_id, contact_id) or contact_id
