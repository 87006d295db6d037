"""One contact: reading, changing and deleting it.

`models.contact_matching` matches and creates the contacts of triggers; `models.reports.contacts` lists them. Fields
arrive normalized, under the names of the columns. Deletion is soft: history keeps its names, and the addresses become
free for other contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

import peewee
import psycopg2
from peewee import SQL, fn

from models import audit, conversation, sample_contact
from models.audit import AuditActor
from models.contact_matching import CONTACT_COLUMNS, IDENTIFIERS, PLAIN_FIELDS, ContactRow
from models.database import acting_as, transaction
from models.errors import Conflict, NotFound
from models.expressions import is_any, now
from models.queries import call, execute, exists, fetch_first, fetch_value, fetch_values
from models.tables import Contact
from models.tables.contacts import SuppressionReason
from rules.contact_limits import find_excess

_MISSING = "There is no contact with that id."


class SuppressedChannel(TypedDict):
    """A channel on which a contact must not be messaged."""

    channel: str
    reason: SuppressionReason


class ContactDetailRow(ContactRow):
    """A contact with its times and its suppressed channels, ordered by name."""

    last_event_at: datetime | None
    created_at: datetime
    updated_at: datetime
    suppressed: list[SuppressedChannel]


def select_details() -> peewee.ModelSelect[Any]:
    """Build the query of all contacts as `ContactDetailRow`."""
    channels = fn.suppressed_channels(Contact.workspace_id, Contact.id).alias("s")
    entry = fn.json_build_object("channel", SQL("s.channel"), "reason", SQL("s.reason"))
    suppressed = peewee.Select([channels], [fn.json_agg(entry).order_by(SQL("s.channel"))])
    return Contact.select(
        *CONTACT_COLUMNS,
        Contact.last_event_at,
        Contact.created_at,
        Contact.updated_at,
        fn.coalesce(suppressed, SQL("'[]'")).alias("suppressed"),
    )


def get(workspace_id: str, contact_id: str) -> ContactDetailRow | None:
    """Return one contact."""
    with acting_as(workspace_id):
        return fetch_first(ContactDetailRow, select_details().where(is_present(workspace_id, contact_id)))


def is_present(workspace_id: str, contact_id: str) -> Any:
    """Build the condition of one contact that is not deleted."""
    return (Contact.id == contact_id) & (Contact.workspace_id == workspace_id) & Contact.deleted_at.is_null()


def is_newly_created(contact_id: str) -> bool:
    """Return whether the current transaction created this contact: its creation time is then the transaction's."""
    return exists(Contact.select(Contact.id).where(Contact.id == contact_id, Contact.created_at == now()))


def find_newly_created(contact_ids: Sequence[str]) -> set[str]:
    """Return those of these contacts that the current transaction created."""
    query = Contact.select(Contact.id).where(is_any(Contact.id, contact_ids), Contact.created_at == now())
    return set(fetch_values(query))


def analyze() -> None:
    """Give PostgreSQL statistics of the contacts, which it would have a minute later, and plan wrongly until then."""
    with transaction():
        fetch_value(call(fn.analyze_contacts()))


def change(workspace_id: str, contact_id: str, fields: Mapping[str, Any], actor: AuditActor) -> None:
    """Replace these fields, including `tags`; `attributes` are merged, null clears.

    Raises `NotFound`, or `Conflict` for an address that belongs to another contact, and for more attributes than a
    contact may have.
    """
    with acting_as(workspace_id):
        before = get(workspace_id, contact_id)
        sample_contact.retire([fields])
        try:
            updated = execute(Contact.update(_build_changes(fields)).where(is_present(workspace_id, contact_id)))
        except peewee.IntegrityError as error:
            raise _build_conflict(error, fields) from error
        if not updated:
            raise NotFound(_MISSING)
        after = get(workspace_id, contact_id)
        excess = find_excess(before, after) if before and after else None
        if excess:
            raise Conflict(excess.message, excess.field)
        detail = _compare(before, after, fields)
        audit.record(workspace_id, actor, "contact.changed", "contact", contact_id, detail)


def _compare(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, fields: Iterable[str]
) -> dict[str, Any]:
    """The detail of a change: the names of the fields, and what differs."""
    names = sorted(fields)
    return {"fields": names, **audit.compare(before or {}, {name: (after or {}).get(name) for name in names})}


def _build_changes(fields: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {name: fields[name] for name in PLAIN_FIELDS if name in fields}
    changes["updated_at"] = now()
    if "tags" in fields:
        changes["tags"] = fields["tags"] or []
    if "attributes" in fields:
        changes["attributes"] = _merge_attributes(fields["attributes"])
    return changes


def _merge_attributes(attributes: Mapping[str, Any] | None) -> Any:
    """Build the contact's new attributes. Null for all attributes clears them; null for one attribute removes it."""
    return {} if attributes is None else fn.jsonb_strip_nulls(Contact.attributes.concat(attributes))


def delete(workspace_id: str, contact_id: str, actor: AuditActor, cancel_in_flight: Callable[[], int]) -> int:
    """Delete a contact softly and call `cancel_in_flight` in the same transaction; return the latter's result.

    Deletes the messages received from the contact. Raises `NotFound`.
    """
    with acting_as(workspace_id):
        # From here on no trigger finds the contact, so no new execution can start.
        deleted = execute(Contact.update(deleted_at=now()).where(is_present(workspace_id, contact_id)))
        if not deleted:
            raise NotFound(_MISSING)
        conversation.forget(contact_id)
        cancelled = cancel_in_flight()
        audit.record(workspace_id, actor, "contact.deleted", "contact", contact_id, {"cancelled": cancelled})
        return cancelled


def _build_conflict(error: peewee.IntegrityError, fields: Mapping[str, Any]) -> Conflict:
    """Name the address of another contact, from the name of the violated index."""
    cause = error.orig  # type: ignore[attr-defined]  # the stubs lack it
    index = cause.diag.constraint_name if isinstance(cause, psycopg2.Error) else None
    name = next((name for name in IDENTIFIERS if index == f"contacts_by_{name}"), "email")
    head, *rest = name.split("_")
    path = head + "".join(word.title() for word in rest)
    return Conflict(f"{path} {fields.get(name)} belongs to another contact", path)
