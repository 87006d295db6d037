"""Erases addresses from the lists of suppressions and recipients: of the suppressed ones the keyed hashes stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from models import suppression
from models.address_key import hash_addresses
from models.expressions import any_of
from models.queries import execute, fetch, fetch_values
from models.tables import Contact, EmailRecipient, SuppressedAddress
from models.tables.contacts import SuppressionReason
from rules.channels import ADDRESS_FIELDS

#: A channel, a normalized address on it, and why it is suppressed.
_Suppressed = tuple[str, str, SuppressionReason]


def erase_addresses(workspace_id: str, contact_ids: Sequence[str], addresses: Sequence[tuple[str, str]]) -> bool:
    """Keep of these (channel, address) only the hashes of the suppressed ones, inside the caller's transaction.

    An address is suppressed, too, where one of these contacts that has it is. Returns False where an address is
    suppressed and its hash cannot be built.
    """
    if not addresses:
        return True
    suppressed = _list_suppressed(workspace_id, contact_ids, addresses)
    for channel, address, reason in suppressed:
        address_hash = hash_addresses(workspace_id, {channel: address}).get(channel)
        if address_hash is None:
            return False
        suppression.add_hashed(workspace_id, channel, address_hash, None, reason)
    is_erased = _build_match(addresses)
    own = SuppressedAddress.workspace_id == workspace_id
    execute(SuppressedAddress.delete().where(own, is_erased, SuppressedAddress.address_hash.is_null()))
    execute(SuppressedAddress.update(address=None).where(own, is_erased))
    emails = [address for channel, address in addresses if channel == "email"]
    recipient = EmailRecipient
    execute(recipient.update(address=None).where(recipient.workspace_id == workspace_id, recipient.address.in_(emails)))
    return True


class _SuppressedRow(TypedDict):
    channel: str
    address: str
    reason: SuppressionReason


def _list_suppressed(
    workspace_id: str, contact_ids: Sequence[str], addresses: Sequence[tuple[str, str]]
) -> set[_Suppressed]:
    """Return the suppressed ones of these addresses, once for each reason."""
    row = SuppressedAddress
    query = row.select(row.channel, row.address, row.reason).where(
        row.workspace_id == workspace_id, _build_match(addresses)
    )
    entries: set[_Suppressed] = {
        (own["channel"], own["address"], own["reason"]) for own in fetch(_SuppressedRow, query)
    }
    for contact_id in contact_ids:
        for entry in suppression.list_for_contact(workspace_id, contact_id):
            column = getattr(Contact, ADDRESS_FIELDS[entry["channel"]])
            (address,) = fetch_values(Contact.select(column).where(Contact.id == contact_id))
            if (entry["channel"], address) in addresses:
                entries.add((entry["channel"], address, entry["reason"]))
    return entries


def _build_match(addresses: Sequence[tuple[str, str]]) -> Any:
    """Build the condition of rows of these addresses."""
    row = SuppressedAddress
    return any_of(
        *(
            (row.channel == channel) & row.address.in_([address for via, address in addresses if via == channel])
            for channel in sorted({channel for channel, _ in addresses})
        )
    )
