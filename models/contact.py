"""Contacts as people and programs keep them: one, its changes and its end.

Finding the contact that a trigger speaks of, and making it, is `models.contact_matching`'s; the list is
`models.reports.contacts`'s. Fields come in normalised, under the names of the columns. Deleting is soft: history keeps
its names, the addresses are free for others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import peewee
import psycopg2
from psycopg2.extras import Json

from models import audit, conversation
from models.audit import Actor
from models.contact_matching import IDENTIFIERS, PLAIN_FIELDS
from models.database import Row, acting_as, execute, fetch_row, fetch_value
from models.errors import Conflict, NotFound

COLUMNS = """
    c.id, c.external_id, c.first_name, c.last_name, c.username, c.email, c.phone, c.facebook_id, c.instagram_id,
    c.timezone, c.tags, c.attributes, c.last_event_at, c.created_at, c.updated_at,
    coalesce((select json_agg(json_build_object('channel', s.channel, 'reason', s.reason) order by s.channel)
        from suppressions s where s.workspace_id = c.workspace_id and s.contact_id = c.id), '[]') suppressed
"""
_MISSING = "There is no contact by that id."


def get(workspace_id: str, contact_id: str) -> Row | None:
    """One contact with its channels that are `suppressed`."""
    with acting_as(workspace_id):
        return fetch_row(
            f"select {COLUMNS} from contacts c where c.workspace_id = %s and c.id = %s and c.deleted_at is null",
            (workspace_id, contact_id),
        )


def is_newly_created(contact_id: str) -> bool:
    """Whether the present transaction made this contact: its time is then the transaction's."""
    return bool(fetch_value("select created_at = beckon_now() from contacts where id = %s", (contact_id,)))


def change(workspace_id: str, contact_id: str, fields: Mapping[str, Any], actor: Actor) -> None:
    """Replace the given fields, `tags` too; `attributes` merge, null clears.

    Raises `NotThere`, and `Conflict` for an address that belongs to another contact.
    """
    assignments, parameters = ["updated_at = beckon_now()"], []
    for name in PLAIN_FIELDS:
        if name in fields:
            assignments.append(f"{name} = %s")
            parameters.append(fields[name])
    if "tags" in fields:
        assignments.append("tags = %s")
        parameters.append(fields["tags"] or [])
    if "attributes" in fields:
        attributes = fields["attributes"]
        # Null for the whole clears it; null for one name takes that name out.
        assignments.append("attributes = " + ("%s" if attributes is None else "jsonb_strip_nulls(attributes || %s)"))
        parameters.append(Json(attributes or {}))
    with acting_as(workspace_id):
        try:
            updated = execute(
                f"update contacts set {', '.join(assignments)} where id = %s and workspace_id = %s "
                "and deleted_at is null",
                [*parameters, contact_id, workspace_id],
            )
        except peewee.IntegrityError as error:
            raise _build_conflict(error, fields) from error
        if not updated:
            raise NotFound(_MISSING)
        audit.record(workspace_id, actor, "contact.changed", "contact", contact_id, {"fields": sorted(fields)})


def delete(workspace_id: str, contact_id: str, actor: Actor, cancel_in_flight: Callable[[], int]) -> int:
    """Delete softly and, in the same transaction, call `cancel_in_flight`; its answer. Raises `NotThere`.

    What the contact wrote to us is forgotten.
    """
    with acting_as(workspace_id):
        # From here on no trigger finds the contact, so nothing new can come into flight.
        deleted = execute(
            "update contacts set deleted_at = beckon_now() where id = %s and workspace_id = %s and deleted_at is null",
            (contact_id, workspace_id),
        )
        if not deleted:
            raise NotFound(_MISSING)
        conversation.forget(contact_id)
        cancelled = cancel_in_flight()
        audit.record(workspace_id, actor, "contact.deleted", "contact", contact_id, {"cancelled": cancelled})
        return cancelled


def _build_conflict(error: peewee.IntegrityError, fields: Mapping[str, Any]) -> Conflict:
    """The address that is someone else's, by the name of the index that refused it."""
    cause = error.orig  # type: ignore[attr-defined]  # the stubs lack it
    index = cause.diag.constraint_name if isinstance(cause, psycopg2.Error) else None
    name = next((name for name in IDENTIFIERS if index == f"contacts_{name}"), "email")
    head, *rest = name.split("_")
    path = head + "".join(word.title() for word in rest)
    return Conflict(f"{path} {fields.get(name)} belongs to another contact", path)
