"""One contact: reading, changing and deleting it.

`models.contact_matching` matches and creates the contacts of triggers; `models.reports.contacts` lists them. Fields
arrive normalized, under the names of the columns. Deletion is soft: history keeps its names, and the addresses become
free for other contacts.
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
_MISSING = "There is no contact with that id."


def get(workspace_id: str, contact_id: str) -> Row | None:
    """Return one contact with its `suppressed` channels."""
    with acting_as(workspace_id):
        return fetch_row(
            f"select {COLUMNS} from contacts c where c.workspace_id = %s and c.id = %s and c.deleted_at is null",
            (workspace_id, contact_id),
        )


def is_newly_created(contact_id: str) -> bool:
    """Return whether the current transaction created this contact: its creation time is then the transaction's."""
    return bool(fetch_value("select created_at = beckon_now() from contacts where id = %s", (contact_id,)))


def change(workspace_id: str, contact_id: str, fields: Mapping[str, Any], actor: Actor) -> None:
    """Replace these fields, including `tags`; `attributes` are merged, null clears.

    Raises `NotFound`, or `Conflict` for an address that belongs to another contact.
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
        # Null for all attributes clears them; null for one attribute removes it.
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
    """Delete a contact softly and call `cancel_in_flight` in the same transaction; return the latter's result.

    Deletes the messages received from the contact. Raises `NotFound`.
    """
    with acting_as(workspace_id):
        # From here on no trigger finds the contact, so no new execution can start.
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
    """Name the address of another contact, from the name of the violated index."""
    cause = error.orig  # type: ignore[attr-defined]  # the stubs lack it
    index = cause.diag.constraint_name if isinstance(cause, psycopg2.Error) else None
    name = next((name for name in IDENTIFIERS if index == f"contacts_{name}"), "email")
    head, *rest = name.split("_")
    path = head + "".join(word.title() for word in rest)
    return Conflict(f"{path} {fields.get(name)} belongs to another contact", path)
