"""The list of suppressed addresses, newest first; an erased address is matched by its hash alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from peewee import JOIN, Expression, Value

from models.address_key import hash_addresses
from models.database import acting_as
from models.queries import fetch
from models.tables import EmailRecipient, SuppressedAddress, SuppressedTopic
from models.tables.contacts import SuppressionReason
from rules.addresses import normalise_address
from rules.channels import CONTACT_CHANNELS


class SuppressedAddressRow(TypedDict):
    """A suppressed address; `address` is None once it is erased. With a `topic`, of that e-mail alone."""

    id: str
    channel: str
    address: str | None
    reason: SuppressionReason
    topic: str | None
    created_at: datetime


@dataclass(frozen=True)
class SuppressionFilters:
    """`q` is the beginning of an address, or the whole one where it is erased."""

    channel: str | None = None
    q: str | None = None
    reason: str | None = None
    topic: str | None = None


def fetch_page(
    workspace_id: str, filters: SuppressionFilters, limit: int, before: str | None
) -> list[SuppressedAddressRow]:
    """Return at most `limit` suppressed addresses, newest first, older than the one with id `before`."""
    queries = []
    if filters.topic is None:
        queries.append(_select_addresses(workspace_id, filters))
    if filters.channel in (None, "email"):
        queries.append(_select_topics(workspace_id, filters))
    with acting_as(workspace_id):
        rows = [row for query, id in queries for row in _fetch_newest(query, id, limit, before)]
    return sorted(rows, key=lambda row: row["id"], reverse=True)[:limit]


def _fetch_newest(query: Any, id: Any, limit: int, before: str | None) -> list[SuppressedAddressRow]:
    if before is not None:
        query = query.where(id < before)
    return fetch(SuppressedAddressRow, query.order_by(id.desc()).limit(limit))


def _select_addresses(workspace_id: str, filters: SuppressionFilters) -> tuple[Any, Any]:
    row, no_topic = SuppressedAddress, Value(None).cast("text")
    query = row.select(row.id, row.channel, row.address, row.reason, no_topic.alias("topic"), row.created_at).where(
        row.workspace_id == workspace_id
    )
    if filters.channel:
        query = query.where(row.channel == filters.channel)
    return _filter(query, row, row.address, workspace_id, filters), row.id


def _select_topics(workspace_id: str, filters: SuppressionFilters) -> tuple[Any, Any]:
    row = SuppressedTopic
    is_same = (EmailRecipient.workspace_id == row.workspace_id) & (EmailRecipient.address_hash == row.address_hash)
    query = (
        row.select(
            row.id, Value("email").alias("channel"), EmailRecipient.address, row.reason, row.topic, row.created_at
        )
        .join(EmailRecipient, JOIN.LEFT_OUTER, on=is_same)
        .where(row.workspace_id == workspace_id)
    )
    if filters.topic is not None:
        query = query.where(row.topic == filters.topic)
    return _filter(query, row, EmailRecipient.address, workspace_id, filters), row.id


def _filter(query: Any, row: Any, address: Any, workspace_id: str, filters: SuppressionFilters) -> Any:
    if filters.reason:
        query = query.where(row.reason == filters.reason)
    if filters.q and filters.q.strip():
        query = query.where(_match_address(workspace_id, filters.q.strip(), address, row.address_hash))
    return query


def _match_address(workspace_id: str, q: str, address: Any, address_hash: Any) -> Any:
    beginning = q.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    begins = Expression(address, "like", f"{beginning}%")
    hashes = hash_addresses(workspace_id, _read_as_address(q))
    return begins | address_hash.in_(list(hashes.values())) if hashes else begins


def _read_as_address(q: str) -> dict[str, str | None]:
    """Return what was searched for as an address of each channel that it fits."""
    addresses: dict[str, str | None] = {}
    for channel in CONTACT_CHANNELS:
        try:
            addresses[channel] = normalise_address(channel, q)
        except ValueError:
            continue
    return addresses
