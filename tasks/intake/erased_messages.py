"""Applies reports on messages of contacts that were erased since: the status moves, and an address that must not be
messaged is suppressed by its hash. Nothing else of the report is kept."""

from __future__ import annotations

from models import address_key, message, suppression
from models.engine.rows import StoredMessageRow
from models.tables.contacts import SuppressionReason
from providers.base import Callback
from rules.addresses import normalise_address
from tasks.intake.callback_moves import STATUS
from tasks.intake.event_readers import Outcome


def is_erased(message_row: StoredMessageRow) -> bool:
    """Whether the contact of a message was erased: only such a message has no address."""
    return not message_row["to_address"]


def apply_to_erased(message_row: StoredMessageRow, callback: Callback, reason: SuppressionReason | None) -> Outcome:
    """Apply a report on the message of an erased contact, inside the caller's transaction.

    `reason` says why its address is suppressed from now on; None where it is not.
    """
    status = STATUS.get(callback.kind)
    if status is not None:
        message.advance(message_row["id"], status)
    if reason is not None and not message_row["test"]:
        _suppress(message_row, callback.address or "", reason)
    return Outcome("erased", message_row["workspace_id"], keeps_body=False)


def _suppress(message_row: StoredMessageRow, text: str, reason: SuppressionReason) -> None:
    workspace_id, channel = message_row["workspace_id"], message_row["channel"]
    try:
        address = normalise_address(channel, text)
    except ValueError:
        return
    address_hash = address_key.hash_addresses(workspace_id, {channel: address}).get(channel)
    if address_hash is not None:
        suppression.add_hashed(workspace_id, channel, address_hash, None, reason)
