"""Finds the contact of a received message by its address, if the callback names no sent message."""

from __future__ import annotations

from typing import Any, TypedDict

import peewee
from peewee import fn

from models import workspace
from models.queries import fetch_first, fetch_value
from models.tables import Contact, Message, Workspace
from rules.channels import ADDRESS_FIELDS


class ContactOwnerRow(TypedDict):
    """A contact and its workspace; a sample contact exists only for tests and for the demo."""

    id: str
    workspace_id: str
    sample: bool


def lock_current(contact_id: str) -> str:
    """Lock a contact against merges until the transaction ends; return its id, or the id of its merge's target."""
    current = fn.coalesce(Contact.merged_into, Contact.id)
    contact: str | None = fetch_value(Contact.select(current).where(Contact.id == contact_id).for_update())
    return contact or contact_id


def find_by_address(
    channel: str, address: str, workspace_id: str | None, *, demo_only: bool = False
) -> ContactOwnerRow | None:
    """Return the contact with this address: in `workspace_id` or, if None, in the workspace that last messaged it.

    Sample contacts may write in demo workspaces only. `demo_only` limits the search to these.
    """
    return _find(channel, address, Contact.deleted_at.is_null(), workspace_id, demo_only=demo_only)


def find_workspace(channel: str, address: str, workspace_id: str | None, *, demo_only: bool = False) -> str | None:
    """Return the workspace of an address that no contact has any more: `workspace_id` or, if None, that of the deleted
    contact with this address that was messaged last."""
    if workspace_id is not None:
        return workspace_id if not demo_only or workspace.is_demo(workspace_id) else None
    # Only phone numbers of deleted contacts have an index.
    if channel != "sms":
        return None
    deleted = _find(channel, address, Contact.deleted_at.is_null(False), None, demo_only=demo_only)
    return deleted["workspace_id"] if deleted else None


def _find(
    channel: str, address: str, condition: Any, workspace_id: str | None, *, demo_only: bool
) -> ContactOwnerRow | None:
    demos = Workspace.select(Workspace.id).where(Workspace.demo)
    query = Contact.select(Contact.id, Contact.workspace_id, Contact.sample).where(
        getattr(Contact, ADDRESS_FIELDS[channel]) == fn.lower(address), condition
    )
    query = query.where(~Contact.sample | Contact.workspace_id.in_(demos))
    if workspace_id is not None:
        query = query.where(Contact.workspace_id == workspace_id)
    if demo_only:
        query = query.where(Contact.workspace_id.in_(demos))
    last_sent_at = Message.select(fn.max(Message.sent_at)).where(Message.contact_id == Contact.id)
    return fetch_first(ContactOwnerRow, query.order_by(peewee.Desc(last_sent_at, nulls="last")).limit(1))
