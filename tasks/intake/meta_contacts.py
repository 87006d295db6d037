"""Matches a person on Facebook or Instagram to a contact: by the id of an event, or by the message that it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models import contact_lookup, contact_matching, message, sample_contact
from models.contact_matching import ContactRejection
from models.engine.rows import StoredMessageRow
from providers.base import Callback
from rules.channels import ADDRESS_FIELDS
from rules.contacts import MAX_NAME_LENGTH


class ApplyFailed(Exception):
    """The event cannot be applied now. It stays unprocessed, and the sweep retries it."""


@dataclass(frozen=True)
class MatchedContact:
    """The contact of an event. A sample contact exists only for tests and for the demo, and is not changed."""

    id: str
    is_sample: bool


def match_contact(callback: Callback, workspace_id: str) -> MatchedContact:
    """Return the person's contact, created if necessary, and locked."""
    assert callback.address is not None
    existing = contact_lookup.find_by_address(callback.provider, callback.address, workspace_id)
    contact_id = existing["id"] if existing else _find_answered_contact_id(callback, workspace_id)
    is_sample = existing["sample"] if existing else contact_id is not None and sample_contact.is_sample(contact_id)
    fields: dict[str, Any] = {}
    if contact_id is None:
        fields = {ADDRESS_FIELDS[callback.provider]: callback.address, **_split_name(callback.detail.get("name"))}
    if username := callback.detail.get("username"):
        fields["username"] = str(username)[:MAX_NAME_LENGTH]
    (contact,) = contact_matching.match_or_create(workspace_id, [(contact_id, fields)], {0} if is_sample else ())
    if contact is None or isinstance(contact, ContactRejection):
        raise ApplyFailed(contact.message if contact else "the event names no person")
    return MatchedContact(contact["id"], is_sample)


def _find_answered_contact_id(callback: Callback, workspace_id: str) -> str | None:
    """Return the recipient of the answered message: a new id is then another id of the same person."""
    related = find_answered_message(callback)
    return related["contact_id"] if related is not None and related["workspace_id"] == workspace_id else None


def find_answered_message(callback: Callback) -> StoredMessageRow | None:
    """Return our message that a person answered, where Meta names it."""
    answered_id = callback.detail.get("answers")
    return message.find(callback.provider, str(answered_id), None) if answered_id else None


def _split_name(full_name: object) -> dict[str, str]:
    """Split a full name, as a Page shows it, into first and last name."""
    first, _, last = str(full_name or "").strip().partition(" ")
    parts = {"first_name": first, "last_name": last.strip()}
    return {name: part[:MAX_NAME_LENGTH] for name, part in parts.items() if part}
