"""The list of suppressed addresses, newest first; an erased address is matched by its hash alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from peewee import Expression

from models.address_key import hash_addresses
from models.database import acting_as
from models.queries import fetch
from models.tables import SuppressedAddress
from models.tables.contacts import SuppressionReason
from rules.addresses import normalise_address
from rules.channels import CONTACT_CHANNELS


class SuppressedAddressRow(TypedDict):
    """A suppressed address; `address` is None once it is erased."""

    id: str
    channel: str
    address: str | None
    reason: SuppressionReason
    created_at: datetime


@dataclass(frozen=True)
class SuppressionFilters:
    """`q` is the beginning of an address, or the whole one where it is erased."""

    channel: str | None = None
    q: str | None = None
    reason: str | None = None


def fetch_page(
    workspace_id: str, filters: SuppressionFilters, limit: int, before: str | None
) -> list[SuppressedAddressRow]:
    """Return at most `limit` suppressed addresses, newest first, older than the one with id `before`."""
    row = SuppressedAddress
    query = row.select(row.id, row.channel, row.address, row.reason, row.created_at).where(
        row.workspace_id == workspace_id, *_build_conditions(workspace_id, filters)
    )
    if before is not None:
        query = query.where(row.id < before)
    with acting_as(workspace_id):
        return fetch(SuppressedAddressRow, query.order_by(row.id.desc()).limit(limit))


def _build_conditions(workspace_id: str, filters: SuppressionFilters) -> list[Any]:
    row = SuppressedAddress
    conditions = []
    if filters.channel:
        conditions.append(row.channel == filters.channel)
    if filters.reason:
        conditions.append(row.reason == filters.reason)
    if filters.q and filters.q.strip():
        conditions.append(_match_address(workspace_id, filters.q.strip()))
    return conditions


def _match_address(workspace_id: str, q: str) -> Any:
    beginning = q.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    begins = Expression(SuppressedAddress.address, "like", f"{beginning}%")
    hashes = hash_addresses(workspace_id, _read_as_address(q))
    return begins | SuppressedAddress.address_hash.in_(list(hashes.values())) if hashes else begins


def _read_as_address(q: str) -> dict[str, str | None]:
    """Return what was searched for as an address of each channel that it fits."""
    addresses: dict[str, str | None] = {}
    for channel in CONTACT_CHANNELS:
        try:
            addresses[channel] = normalise_address(channel, q)
        except ValueError:
            continue
    return addresses
