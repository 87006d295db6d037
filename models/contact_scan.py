"""Reads all contacts of the acting workspace in pages, by id, for triggers that apply to every contact.

Sample contacts are not among them.
"""

from __future__ import annotations

from datetime import datetime

from peewee import fn

from models.contact_matching import CONTACT_COLUMNS, ContactRow
from models.expressions import acting_workspace
from models.queries import fetch
from models.tables import Contact


def fetch_page(
    last_id: str | None, limit: int, silent_between: tuple[datetime, datetime] | None = None
) -> list[ContactRow]:
    """Return the next page; with `silent_between`, only contacts whose last event is after the first time and not after
    the second. A contact without events counts from its creation."""
    query = Contact.select(*CONTACT_COLUMNS).where(
        Contact.workspace_id == acting_workspace(), Contact.deleted_at.is_null(), ~Contact.sample
    )
    if last_id is not None:
        query = query.where(Contact.id > last_id)
    if silent_between is not None:
        last_active_at = fn.coalesce(Contact.last_event_at, Contact.created_at)
        query = query.where(last_active_at > silent_between[0], last_active_at <= silent_between[1])
    return fetch(ContactRow, query.order_by(Contact.id).limit(limit))
