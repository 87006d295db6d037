"""Finds the contact of a received message by its address, if the callback names no sent message."""

from __future__ import annotations

from typing import TypedDict

import peewee
from peewee import fn

from models.queries import fetch_first
from models.tables import Contact, Message, Workspace
from rules.channels import ADDRESS_FIELDS


class ContactOwnerRow(TypedDict):
    """A contact and its workspace; a sample contact exists only for tests and for the demo."""

    id: str
    workspace_id: str
    sample: bool


def find_by_address(
    channel: str, address: str, workspace_id: str | None, *, demo_only: bool = False
) -> ContactOwnerRow | None:
    """Return the contact with this address: in `workspace_id` or, if None, in the workspace that last messaged it.

    `demo_only` limits the search to demo workspaces.
    """
    query = Contact.select(Contact.id, Contact.workspace_id, Contact.sample).where(
        getattr(Contact, ADDRESS_FIELDS[channel]) == fn.lower(address), Contact.deleted_at.is_null()
    )
    if workspace_id is not None:
        query = query.where(Contact.workspace_id == workspace_id)
    if demo_only:
        query = query.where(Contact.workspace_id.in_(Workspace.select(Workspace.id).where(Workspace.demo)))
    last_sent_at = Message.select(fn.max(Message.sent_at)).where(Message.contact_id == Contact.id)
    return fetch_first(ContactOwnerRow, query.order_by(peewee.Desc(last_sent_at, nulls="last")).limit(1))
