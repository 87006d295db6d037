"""Contacts over HTTP: list, find, make or change, suppress, and let go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dashboard.access import Caller
from dashboard.answers import named, paged, row_id_of, success
from dashboard.api import shapes
from dashboard.bodies import Body, ShortText
from dashboard.errors import Refusal, invalid, not_there
from dashboard.resource import Resource
from models import audit, contact, contact_matching, suppression
from models.contact_matching import ContactRefused
from models.database import acting_as
from models.reports import contacts as report
from models.reports.contacts import ContactFilters
from rules.contacts import normalise
from rules.problems import Problem
from tasks import operators

contacts = Resource("contacts")

#: The channels of `models.suppression`.
Channel = Literal["email", "sms", "facebook", "instagram"]

ONE = shapes.record(
    id=shapes.ID, externalId=shapes.maybe(shapes.TEXT), firstName=shapes.maybe(shapes.TEXT),
    lastName=shapes.maybe(shapes.TEXT), username=shapes.maybe(shapes.TEXT), email=shapes.maybe(shapes.TEXT),
    phone=shapes.maybe(shapes.TEXT), facebookId=shapes.maybe(shapes.TEXT), instagramId=shapes.maybe(shapes.TEXT),
    timezone=shapes.maybe(shapes.TEXT), tags=shapes.listing(shapes.TEXT), attributes={"type": "object"},
    suppressed=shapes.listing(shapes.record(channel=shapes.TEXT, reason=shapes.TEXT)),
    lastEventAt=shapes.maybe(shapes.TIME), createdAt=shapes.TIME, updatedAt=shapes.TIME,
)  # fmt: skip

_Field = Annotated[str, Field(max_length=1000)] | None


class ContactFields(Body):
    """A contact's fields; null clears. What each may hold is judged by the rules for contacts."""

    external_id: _Field = Field(None, alias="externalId")
    first_name: _Field = Field(None, alias="firstName")
    last_name: _Field = Field(None, alias="lastName")
    username: _Field = None
    email: _Field = None
    phone: _Field = None
    facebook_id: _Field = Field(None, alias="facebookId")
    instagram_id: _Field = Field(None, alias="instagramId")
    timezone: _Field = None
    tags: list[Any] | None = None
    attributes: dict[str, Any] | None = None

    def regular(self) -> dict[str, Any]:
        """The given fields under the columns' names, made regular. Raises `Refusal` 422."""
        fields, problems = normalise(self.model_dump(by_alias=True, exclude_unset=True))
        if problems:
            raise invalid(problems)
        return fields


class ContactPage(shapes.Page):
    """Which contacts: `q` is an id, an address, or the beginnings of words; `suppressed` a channel, or "any"."""

    q: ShortText | None = None
    tag: ShortText | None = None
    suppressed: Channel | Literal["any"] | None = None


class Suppressed(Body):
    """A channel on which the contact must not be written to."""

    channel: Channel


@contacts.api(
    "GET",
    "/api/contacts",
    permission="read",
    query=ContactPage,
    answer={"contacts": shapes.listing(ONE), "nextCursor": shapes.maybe(shapes.TEXT)},
)
def list_contacts(call: Caller, query: ContactPage) -> Any:
    """List contacts, newest first."""
    before = row_id_of(query.cursor)
    filters = ContactFilters(q=query.q, tag=query.tag, suppressed=query.suppressed)
    found, cursor = paged(
        lambda limit: report.page(call.workspace_id, filters, limit=limit, before=before),
        query.limit,
    )
    return success(contacts=[named(one) for one in found], nextCursor=cursor)


@contacts.api(
    "POST",
    "/api/contacts",
    permission="write",
    body=ContactFields,
    answer={"contact": ONE},
    status=201,
    statuses=(200, 409),
)
def save_contact(call: Caller, body: ContactFields) -> Any:
    """Make a contact (201), or change the one with these addresses (200), matched as a trigger's is."""
    fields = body.regular()
    if not any(fields.values()):
        raise invalid([Problem("", "must name the contact by at least one field")])
    with acting_as(call.workspace_id):
        (saved,) = contact_matching.match(call.workspace_id, [(None, fields)])
        if isinstance(saved, ContactRefused):
            path = saved.path.removeprefix("contact.")
            raise Refusal(saved.status, saved.message, [Problem(path, saved.message)])
        assert saved is not None
        contact_id = str(saved["id"])
        made = contact.is_just_made(contact_id)
        action = "contact.created" if made else "contact.changed"
        audit.record(call.workspace_id, call.actor, action, "contact", contact_id, {"fields": sorted(fields)})
    return success(201 if made else 200, contact=_shown(call, contact_id))


@contacts.api("GET", "/api/contacts/{contact_id}", permission="read", answer={"contact": ONE})
def show_contact(call: Caller, contact_id: str) -> Any:
    """Show one contact."""
    return success(contact=_shown(call, contact_id))


def change_contact(call: Caller, contact_id: str, body: ContactFields) -> Any:
    """Replace the given fields of a contact; attributes merge, null clears."""
    contact.change(call.workspace_id, contact_id, body.regular(), call.actor)
    return success(contact=_shown(call, contact_id))


for _method in ("PUT", "PATCH"):
    contacts.api(
        _method,
        "/api/contacts/{contact_id}",
        permission="write",
        body=ContactFields,
        answer={"contact": ONE},
        statuses=(409,),
    )(change_contact)


@contacts.api("DELETE", "/api/contacts/{contact_id}", permission="write", answer={"cancelled": shapes.COUNT})
def delete_contact(call: Caller, contact_id: str) -> Any:
    """Delete a contact and cancel what is in flight for it; its addresses are free for others, its history stays."""
    return success(cancelled=operators.delete_contact(call.workspace_id, contact_id, call.actor))


@contacts.api(
    "POST",
    "/api/contacts/{contact_id}/suppressions",
    permission="write",
    body=Suppressed,
    answer={"contact": ONE},
    status=201,
    statuses=(409,),
)
def suppress_contact(call: Caller, contact_id: str, body: Suppressed) -> Any:
    """Write to a contact on one channel no more."""
    suppression.add(call.workspace_id, contact_id, body.channel, call.actor)
    return success(201, contact=_shown(call, contact_id))


@contacts.api(
    "DELETE",
    "/api/contacts/{contact_id}/suppressions/{channel}",
    permission="write",
    answer={"contact": ONE},
    statuses=(409,),
)
def lift_suppression(call: Caller, contact_id: str, channel: str) -> Any:
    """Let a contact be written to on one channel again."""
    if channel not in suppression.CHANNELS:
        raise not_there("There is no such channel.")
    suppression.lift(call.workspace_id, contact_id, channel, call.actor)
    return success(contact=_shown(call, contact_id))


def _shown(call: Caller, contact_id: str) -> dict[str, Any]:
    found = contact.get(call.workspace_id, contact_id)
    if found is None:
        raise not_there("There is no contact by that id.")
    return named(found)
