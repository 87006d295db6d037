"""Erases contacts: their names, addresses and texts, wherever they are kept.

The row of an erased contact stays, deleted and empty, so that its executions, runs and counts stay. Of a suppressed
address only its keyed hash is kept, which suppresses it when it comes back. Other rows of a contact that has the same
address and was deleted before are erased with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import peewee
from peewee import fn

from models import audit, contact_import
from models.address_erasure import erase_addresses
from models.audit import AuditActor
from models.database import acting_as
from models.errors import Conflict, NotFound
from models.expressions import is_any, now
from models.queries import call, execute, fetch, fetch_first, fetch_value, fetch_values
from models.tables import Contact, Message, Suppression
from rules.channels import ADDRESS_FIELDS, CONTACT_CHANNELS
from rules.erasure import build_pattern

#: How long the rows of one contact may take: the workspace's callbacks and log are searched for its addresses.
TIMEOUT_MS = 300_000
_NO_KEY = (
    "The key of address hashes cannot be read, so suppressed addresses would be forgotten: restore the previous "
    "SECRET_KEY, then erase the contact."
)


@dataclass(frozen=True)
class ErasedContact:
    """What an erasure did: executions that it cancelled, and rows that it erased by kind."""

    cancelled: int
    erased: dict[str, int]


class _Row(TypedDict):
    id: str
    external_id: str | None
    email: str | None
    phone: str | None
    facebook_id: str | None
    instagram_id: str | None
    first_name: str | None
    merged_into: str | None
    last_name: str | None


_COLUMNS = (
    Contact.id, Contact.external_id, Contact.email, Contact.phone, Contact.facebook_id, Contact.instagram_id,
    Contact.first_name, Contact.last_name, Contact.merged_into,
)  # fmt: skip


def erase(
    workspace_id: str, contact_id: str, actor: AuditActor, cancel: Callable[[Sequence[str]], int]
) -> ErasedContact:
    """Erase a contact, deleted or not, in one transaction; `cancel` ends the executions of these contacts in it.

    Erasing it again finds nothing more. Raises `NotFound`, or `Conflict` where suppressed addresses could not be kept
    as hashes.
    """
    with acting_as(workspace_id):
        execute("select set_config('statement_timeout', %s, true)", (str(TIMEOUT_MS),))
        contact_import.lock_running()
        rows = _lock(workspace_id, contact_id)
        ids = [row["id"] for row in rows]
        # From here on no trigger finds the contact, so no new execution can start.
        execute(Contact.update(deleted_at=fn.coalesce(Contact.deleted_at, now())).where(is_any(Contact.id, ids)))
        addresses = _list_addresses(workspace_id, rows)
        own = _exclude_others(workspace_id, ids, addresses)
        if not erase_addresses(workspace_id, ids, own):
            raise Conflict(_NO_KEY)
        erased = _erase_rows(rows, addresses)
        erased["waitingRows"] = contact_import.erase_waiting(_list_identifiers(workspace_id, rows, own))
        cancelled = cancel(ids)
        _erase_contacts(ids)
        audit.record(workspace_id, actor, "contact.erased", "contact", contact_id, {"cancelled": cancelled, **erased})
    return ErasedContact(cancelled, erased)


def _lock(workspace_id: str, contact_id: str) -> list[_Row]:
    """Lock the contact, and deleted ones with one of its addresses, in the order of their ids. Raises `NotFound`."""
    own = Contact.workspace_id == workspace_id
    row = fetch_first(_Row, Contact.select(*_COLUMNS).where(own, Contact.id == contact_id))
    if row is None:
        raise NotFound("There is no contact with that id.")
    if row["merged_into"] is not None:
        raise Conflict(f"This contact is merged into {row['merged_into']}: erase that one.")
    condition = (Contact.id == contact_id) | (Contact.merged_into == contact_id)
    for field in ADDRESS_FIELDS.values():
        if address := row[field]:  # type: ignore[literal-required]
            condition |= Contact.deleted_at.is_null(False) & (getattr(Contact, field) == address)
    return fetch(_Row, Contact.select(*_COLUMNS).where(own, condition).order_by(Contact.id).for_update())


class _AddressRow(TypedDict):
    channel: str
    address: str | None


def _list_addresses(workspace_id: str, rows: Sequence[_Row]) -> set[tuple[str, str]]:
    """Return the channel and address of every address that these contacts have, or had when they were messaged."""
    ids = [row["id"] for row in rows]
    current = {(channel, row[field]) for row in rows for channel, field in ADDRESS_FIELDS.items()}  # type: ignore[literal-required]
    sent = Message.select(Message.channel, Message.to_address.alias("address")).where(
        Message.workspace_id == workspace_id, is_any(Message.contact_id, ids), Message.channel.in_(CONTACT_CHANNELS)
    )
    suppressed = Suppression.select(Suppression.channel, Suppression.address).where(
        Suppression.workspace_id == workspace_id, is_any(Suppression.contact_id, ids)
    )
    past = {
        (row["channel"], row["address"])
        for query in (sent.distinct(), suppressed.distinct())
        for row in fetch(_AddressRow, query)
    }
    return {(channel, address) for channel, address in current | past if address}


def _exclude_others(workspace_id: str, ids: Sequence[str], addresses: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the addresses that no other contact has by now."""
    kept = set[tuple[str, str]]()
    for channel, field in ADDRESS_FIELDS.items():
        column = getattr(Contact, field)
        others = Contact.select(column).where(
            Contact.workspace_id == workspace_id, Contact.deleted_at.is_null(), Contact.id.not_in(ids),
            column.in_([address for via, address in addresses if via == channel]),
        )  # fmt: skip
        kept |= {(channel, address) for address in fetch_values(others)}
    return sorted(addresses - kept)


def _list_identifiers(
    workspace_id: str, rows: Sequence[_Row], addresses: Sequence[tuple[str, str]]
) -> dict[str, set[str]]:
    """Return the addresses and external ids of these contacts by field, without ids that another contact has by now."""
    identifiers: dict[str, set[str]] = {field: set() for field in ADDRESS_FIELDS.values()}
    for channel, address in addresses:
        identifiers[ADDRESS_FIELDS[channel]].add(address)
    external_ids = {row["external_id"] for row in rows if row["external_id"]}
    others = Contact.select(Contact.external_id).where(
        Contact.workspace_id == workspace_id, Contact.deleted_at.is_null(), Contact.external_id.in_(external_ids)
    )
    return {**identifiers, "external_id": external_ids - set(fetch_values(others))}


def _erase_rows(rows: Sequence[_Row], addresses: set[tuple[str, str]]) -> dict[str, int]:
    """Erase what is kept beside the contacts' own rows; return the counts by kind."""
    texts = [address for _, address in addresses]
    names = [row["external_id"] for row in rows]
    names += [f"{row['first_name']} {row['last_name']}" for row in rows if row["first_name"] and row["last_name"]]
    ids = [row["id"] for row in rows]
    users = [*ids, *filter(None, [*texts, *(row["external_id"] for row in rows)])]
    counts: dict[str, int] = fetch_value(
        call(
            fn.erase_contact_rows(
                _as_array(ids, "uuid[]"), build_pattern(texts), build_pattern([*texts, *names]),
                build_pattern([*texts, *names], whole=False),
                _as_array(users, "text[]"),
            )
        )
    )  # fmt: skip
    pattern = build_pattern([*texts, *names])
    return {**counts, "imports": contact_import.erase(pattern) if pattern else 0}


def _as_array(values: Sequence[str], type_name: str) -> Any:
    return peewee.Cast(peewee.Value(list(values), unpack=False), type_name)


def _erase_contacts(ids: Sequence[str]) -> None:
    execute(
        Contact.update(
            external_id=None, first_name=None, last_name=None, username=None, email=None, phone=None, facebook_id=None,
            instagram_id=None, timezone=None, tags=[], attributes={}, updated_at=now(),
            erased_at=fn.coalesce(Contact.erased_at, now()),
        ).where(is_any(Contact.id, ids))
    )  # fmt: skip
