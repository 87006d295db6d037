"""Suppressed channels of contacts: added, lifted and listed.

Every suppression is inserted here: by operators, for bounces, complaints and opt-outs, and as an effect of a step. The
engine checks before each send, so a change affects executions in flight at their next message.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from peewee import Value

from models import audit
from models.audit import AuditActor
from models.contact import is_present
from models.database import acting_as
from models.errors import Conflict, NotFound
from models.queries import execute, exists, fetch, fetch_value
from models.tables import Contact, Suppression
from models.tables.contacts import SuppressionReason
from rules.channels import ADDRESS_FIELDS

# By hand: it runs with the caller's cursor, which peewee does not know.
_ADD_FOR_EXECUTION = """
    insert into suppressions (workspace_id, contact_id, channel, address, reason)
    select workspace_id, %s, %s, %s, %s from executions where id = %s
    on conflict (workspace_id, contact_id, channel) do nothing
"""
_COLUMNS = (
    Suppression.workspace_id,
    Suppression.contact_id,
    Suppression.channel,
    Suppression.address,
    Suppression.reason,
)


class SuppressionRow(TypedDict):
    """A suppressed channel of a contact; `address` is the one that the contact had on it then."""

    channel: str
    address: str | None
    reason: SuppressionReason
    created_at: datetime


def list_for_contact(workspace_id: str, contact_id: str) -> list[SuppressionRow]:
    """Return a contact's suppressed channels, by name."""
    query = (
        Suppression.select(Suppression.channel, Suppression.address, Suppression.reason, Suppression.created_at)
        .where(Suppression.workspace_id == workspace_id, Suppression.contact_id == contact_id)
        .order_by(Suppression.channel)
    )
    with acting_as(workspace_id):
        return fetch(SuppressionRow, query)


def add(workspace_id: str, contact_id: str, channel: str, actor: AuditActor) -> None:
    """Suppress the contact on this channel. Raises `NotFound`, or `Conflict` if it is already suppressed."""
    with acting_as(workspace_id):
        address = getattr(Contact, ADDRESS_FIELDS[channel])
        rows = Contact.select(Contact.workspace_id, Contact.id, Value(channel), address, Value("operator"))
        added = execute(
            Suppression.insert_from(rows.where(is_present(workspace_id, contact_id)), _COLUMNS).on_conflict_ignore()
        )
        if not added:
            _refuse(workspace_id, contact_id, Conflict("This channel is already suppressed.", "channel"))
        audit.record(workspace_id, actor, "contact.suppressed", "contact", contact_id, {"channel": channel})


def add_for_message(message: Mapping[str, Any], reason: SuppressionReason) -> None:
    """Suppress the contact of a message on its channel; a test suppresses nobody."""
    if message["contact_id"] is not None and not message["test"]:
        add_for_contact(
            message["workspace_id"], message["contact_id"], message["channel"], message["to_address"], reason
        )


def add_for_contact(
    workspace_id: str, contact_id: str, channel: str, address: str | None, reason: SuppressionReason
) -> None:
    """Suppress a contact on a channel, unless it is already suppressed, inside the caller's transaction."""
    insertion = Suppression.insert(
        workspace_id=workspace_id, contact_id=contact_id, channel=channel, address=address, reason=reason
    )
    execute(insertion.on_conflict_ignore())


def add_for_execution(
    cursor: Any, execution_id: str, contact_id: str, channel: str, address: str | None, reason: str
) -> None:
    """Suppress the contact of an execution with the caller's cursor, inside the caller's transaction."""
    cursor.execute(_ADD_FOR_EXECUTION, (contact_id, channel, address, reason, execution_id))


def lift(workspace_id: str, contact_id: str, channel: str, actor: AuditActor) -> None:
    """Lift a suppression of this channel. Raises `NotFound`, or `Conflict` if the channel is not suppressed."""
    deletion = Suppression.delete().where(
        Suppression.workspace_id == workspace_id, Suppression.contact_id == contact_id, Suppression.channel == channel
    )
    with acting_as(workspace_id):
        reason = fetch_value(deletion.returning(Suppression.reason))
        if reason is None:
            _refuse(workspace_id, contact_id, Conflict("This channel is not suppressed.", "channel"))
        detail = {"channel": channel, "reason": reason}
        audit.record(workspace_id, actor, "contact.suppression_lifted", "contact", contact_id, detail)


def _refuse(workspace_id: str, contact_id: str, conflict: Conflict) -> None:
    if exists(Contact.select(Contact.id).where(is_present(workspace_id, contact_id))):
        raise conflict
    raise NotFound("There is no contact with that id.")
