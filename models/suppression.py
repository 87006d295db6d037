"""Suppressions of addresses and of contacts: added and lifted.

Every suppression is inserted here: by operators, for bounces, complaints and opt-outs, and as an effect of a step. A
bounce belongs to its address alone, any other suppression to the address and to the contact that has it. The engine
checks both before each send, so a change affects executions in flight at their next message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict

from peewee import Value

from models import audit, suppressed_topic
from models.address_key import hash_addresses
from models.audit import AuditActor
from models.contact import is_present
from models.database import acting_as
from models.errors import Conflict, NotFound
from models.expressions import any_of
from models.ids import new_id
from models.queries import execute, fetch, fetch_values
from models.tables import Contact, SuppressedAddress, Suppression
from models.tables.contacts import SuppressionReason
from rules.addresses import normalise_address
from rules.channels import ADDRESS_FIELDS

#: An address by its keyed hash and its text; None where one of them is not known.
Identity = tuple[bytes | None, str | None]
#: Characters of a person's word that the audit log keeps.
MAX_WORD_LENGTH = 40
#: Addresses that an import inserts at once.
BATCH_SIZE = 500

# By hand: it runs with the caller's cursor, which peewee does not know.
_ADD_FOR_EXECUTION = """
    insert into suppressions (workspace_id, contact_id, channel, address, reason)
    select workspace_id, coalesce(merged_into, id), %s, %s, %s from contacts where workspace_id = %s and id = %s
    on conflict (workspace_id, contact_id, channel) do nothing
"""
_ADD_ADDRESS_FOR_EXECUTION = """
    insert into suppressed_addresses (id, workspace_id, channel, address, address_hash, reason)
    values (%s, %s, %s, %s, %s, %s) on conflict do nothing
"""
_LIST_FOR_CONTACT = """
    select channel, address, reason, created_at from suppressed_channels(%s, %s) order by channel
"""
_COLUMNS = (
    Suppression.workspace_id,
    Suppression.contact_id,
    Suppression.channel,
    Suppression.address,
    Suppression.reason,
)


class Entry(NamedTuple):
    """A normalized address, and why it is suppressed: on the whole channel or, for e-mail, for one topic."""

    channel: str
    address: str
    reason: SuppressionReason
    topic: str | None = None


class _OwnRow(TypedDict):
    contact_id: str
    address: str | None


class SuppressionRow(TypedDict):
    """A suppressed channel of a contact; `address` is the one that the contact had on it then."""

    channel: str
    address: str | None
    reason: SuppressionReason
    created_at: datetime


def list_for_contact(workspace_id: str, contact_id: str) -> list[SuppressionRow]:
    """Return a contact's suppressed channels, by name, with those of its addresses."""
    with acting_as(workspace_id):
        return fetch(SuppressionRow, _LIST_FOR_CONTACT, (workspace_id, contact_id))


def add(workspace_id: str, contact_id: str, channel: str, actor: AuditActor) -> None:
    """Suppress the contact and its address on this channel. Raises `NotFound`, or `Conflict` if it is suppressed."""
    with acting_as(workspace_id):
        address = _fetch_address(workspace_id, contact_id, channel)
        if any(row["channel"] == channel for row in list_for_contact(workspace_id, contact_id)):
            raise Conflict("This channel is already suppressed.", "channel")
        add_for_contact(workspace_id, contact_id, channel, address, "operator")
        audit.record(workspace_id, actor, "contact.suppressed", "contact", contact_id, {"channel": channel})


def add_for_message(message: Mapping[str, Any], reason: SuppressionReason) -> None:
    """Suppress the address of a message, and its contact where the reason is not the address's own; a test suppresses
    nobody."""
    if message["contact_id"] is not None and not message["test"]:
        add_for_contact(
            message["workspace_id"], message["contact_id"], message["channel"], message["to_address"], reason
        )


def add_for_contact(
    workspace_id: str, contact_id: str, channel: str, address: str | None, reason: SuppressionReason
) -> None:
    """Suppress an address and the contact that has it, inside the caller's transaction.

    What is suppressed already stays so. A bounce suppresses the address alone.
    """
    if address:
        _insert_addresses(workspace_id, [(channel, _normalise_or_keep(channel, address), reason)])
    if not address or reason != "bounced":
        insertion = Suppression.insert(
            workspace_id=workspace_id, contact_id=contact_id, channel=channel, address=address, reason=reason
        )
        execute(insertion.on_conflict_ignore())


def add_for_word(workspace_id: str, contact_id: str | None, channel: str, address: str) -> None:
    """Suppress an address, and the contact if there is one, for a word that asks to stop.

    Inside the caller's transaction. Mail that asks for it is an unsubscription, as a click on its link is.
    """
    reason: SuppressionReason = "unsubscribed" if channel == "email" else "stopped"
    if contact_id is not None:
        add_for_contact(workspace_id, contact_id, channel, address, reason)
    else:
        _insert_addresses(workspace_id, [(channel, _normalise_or_keep(channel, address), reason)])


def add_for_execution(
    cursor: Any, workspace_id: str, contact_id: str, channel: str, address: str, reason: SuppressionReason
) -> None:
    """Suppress the address and contact of a message with the caller's cursor, inside the caller's transaction."""
    hashes = hash_addresses(workspace_id, {channel: address})
    cursor.execute(_ADD_ADDRESS_FOR_EXECUTION, (new_id(), workspace_id, channel, address, hashes.get(channel), reason))
    cursor.execute(_ADD_FOR_EXECUTION, (channel, address, reason, workspace_id, contact_id))


def add_address(workspace_id: str, entry: Entry, actor: AuditActor) -> None:
    """Suppress a normalized address and, without a topic, the contact that has it.

    Raises `Conflict` if it is, for the same reason.
    """
    with acting_as(workspace_id):
        added = _add_entries(workspace_id, [entry])
        if not added:
            raise Conflict("This address is already suppressed for this reason.", "address")
        detail = {"channel": entry.channel, "reason": entry.reason, **({"topic": entry.topic} if entry.topic else {})}
        audit.record(workspace_id, actor, "suppression.added", "suppression", added[0], detail)


def import_addresses(workspace_id: str, entries: Sequence[Entry], actor: AuditActor) -> int:
    """Suppress normalized addresses and the contacts that have them; return how many addresses are new."""
    with acting_as(workspace_id):
        imported = 0
        for start in range(0, len(entries), BATCH_SIZE):
            imported += len(_add_entries(workspace_id, entries[start : start + BATCH_SIZE]))
        audit.record(workspace_id, actor, "suppressions.imported", "suppression", "csv", {"imported": imported})
    return imported


def _add_entries(workspace_id: str, entries: Sequence[Entry]) -> list[str]:
    """Suppress addresses with their contacts, and topics of addresses; return the ids of the new rows."""
    whole = [entry[:3] for entry in entries if entry.topic is None]
    added = _insert_addresses(workspace_id, whole) if whole else []
    for channel, address, reason in whole:
        _add_for_owner(workspace_id, channel, address, reason)
    for entry in entries:
        if entry.topic is not None:
            address_hash = _hash_or_refuse(workspace_id, entry.address)
            row_id = suppressed_topic.add(workspace_id, address_hash, entry.address, entry.topic, entry.reason)
            added += [row_id] if row_id else []
    return added


def _hash_or_refuse(workspace_id: str, address: str) -> bytes:
    """Return the hash of an e-mail address. Raises `Conflict` where the key of hashes cannot be read."""
    hashes = hash_addresses(workspace_id, {"email": address})
    if not hashes:
        raise Conflict("The key of address hashes cannot be decrypted. Restore the previous SECRET_KEY.")
    return hashes["email"]


def _insert_addresses(workspace_id: str, entries: Sequence[tuple[str, str, SuppressionReason]]) -> list[str]:
    rows = [
        {
            "id": new_id(),
            "workspace_id": workspace_id,
            "channel": channel,
            "address": address,
            "address_hash": hash_addresses(workspace_id, {channel: address}).get(channel),
            "reason": reason,
        }
        for channel, address, reason in entries
    ]
    insertion = SuppressedAddress.insert_many(rows).on_conflict_ignore()
    return fetch_values(insertion.returning(SuppressedAddress.id))


def _add_for_owner(workspace_id: str, channel: str, address: str, reason: SuppressionReason) -> None:
    """Suppress the contact that has the address, if any and unless the reason is the address's own."""
    if reason == "bounced":
        return
    field = getattr(Contact, ADDRESS_FIELDS[channel])
    owner = Contact.select(Contact.workspace_id, Contact.id, Value(channel), field, Value(reason)).where(
        Contact.workspace_id == workspace_id, field == address, Contact.deleted_at.is_null()
    )
    execute(Suppression.insert_from(owner, _COLUMNS).on_conflict_ignore())


def add_hashed(
    workspace_id: str, channel: str, address_hash: bytes, address: str | None, reason: SuppressionReason
) -> None:
    """Suppress an address by its hash, inside the caller's transaction; an address that was erased is None."""
    if address is not None:
        _insert_addresses(workspace_id, [(channel, address, reason)])
        _add_for_owner(workspace_id, channel, address, reason)
        return
    row = {"id": new_id(), "workspace_id": workspace_id, "channel": channel, "address_hash": address_hash}
    execute(SuppressedAddress.insert({**row, "reason": reason}).on_conflict_ignore())


def lift_word(
    workspace_id: str, contact_id: str | None, channel: str, address: str, word: str, *, at_provider: bool = False
) -> bool:
    """Lift what a word such as STOP made, because the person now asks for messages; return whether there was any.

    Inside the caller's transaction. `at_provider`: the provider has lifted its own block for the word, so `blocked`
    goes too. Every other reason stays.
    """
    normalised = _normalise_or_keep(channel, address)
    identity = hash_addresses(workspace_id, {channel: normalised}).get(channel), normalised
    reasons: tuple[SuppressionReason, ...] = ("stopped", "blocked") if at_provider else ("stopped",)
    lifted = [reason for reason in reasons if lift_reason(workspace_id, channel, identity, reason, contact_id)]
    if lifted:
        because = f"The recipient wrote {word[:MAX_WORD_LENGTH]}"
        record_lift_by_recipient(workspace_id, contact_id, channel, lifted, because)
    return bool(lifted)


def record_lift_by_recipient(
    workspace_id: str, contact_id: str | None, channel: str, reasons: Sequence[SuppressionReason], because: str
) -> None:
    """Write the entry of the audit log for what the recipient of messages lifted, inside the caller's transaction."""
    detail = {"channel": channel, "reasons": list(reasons), "because": because}
    kind, object_id = ("contact", contact_id) if contact_id else ("suppression", channel)
    action = "contact.suppression_lifted" if contact_id else "suppression.lifted"
    audit.record(workspace_id, audit.RECIPIENT, action, kind, object_id, detail)


def lift_reason(
    workspace_id: str,
    channel: str,
    identity: Identity,
    reason: SuppressionReason,
    contact_id: str | None = None,
) -> bool:
    """Lift the suppressions with one reason of an address, of the contact that has it, and of the one with this id.

    Inside the caller's transaction. Returns whether there was any. Where the address is also suppressed for another
    reason that belongs to contacts, they keep that one: a contact has one row, that of its first reason.
    """
    of_address = execute(
        SuppressedAddress.delete().where(
            SuppressedAddress.workspace_id == workspace_id,
            SuppressedAddress.channel == channel,
            SuppressedAddress.reason == reason,
            _match(identity),
        )
    )
    own = fetch(
        _OwnRow,
        Suppression.delete()
        .where(
            Suppression.workspace_id == workspace_id,
            Suppression.channel == channel,
            Suppression.reason == reason,
            _is_owner(workspace_id, channel, identity[1], contact_id),
        )
        .returning(Suppression.contact_id, Suppression.address),
    )
    for row in own:
        for address in (row["address"], identity[1]):
            if address is not None:
                _add_remaining(workspace_id, row["contact_id"], channel, address)
    return bool(of_address or own)


def _match(identity: Identity) -> Any:
    """The condition of the rows of an address. None for its hash or its text matches no row, unlike `is null`."""
    address_hash, address = identity
    conditions = []
    if address_hash is not None:
        conditions.append(SuppressedAddress.address_hash == address_hash)
    if address is not None:
        conditions.append(SuppressedAddress.address == address)
    return any_of(*conditions) if conditions else Value(False)


def _is_owner(workspace_id: str, channel: str, address: str | None, contact_id: str | None) -> Any:
    """The condition of a contact's own suppressions: of those that have the address, and of the one with this id."""
    conditions = []
    if address is not None:
        field = getattr(Contact, ADDRESS_FIELDS[channel])
        owners = Contact.select(Contact.id).where(Contact.workspace_id == workspace_id, field == address)
        conditions.append(Suppression.contact_id.in_(owners))
    if contact_id is not None:
        conditions.append(Suppression.contact_id == contact_id)
    return any_of(*conditions) if conditions else Value(False)


def _add_remaining(workspace_id: str, contact_id: str, channel: str, address: str) -> None:
    """Suppress the contact for another reason of an address that it has or had, if there is one."""
    row = SuppressedAddress
    query = row.select(row.reason).where(
        row.workspace_id == workspace_id, row.channel == channel, row.address == address, row.reason != "bounced"
    )
    for reason in fetch_values(query.order_by(row.id).limit(1)):
        insertion = Suppression.insert(
            workspace_id=workspace_id, contact_id=contact_id, channel=channel, address=address, reason=reason
        )
        execute(insertion.on_conflict_ignore())


def lift(workspace_id: str, contact_id: str, channel: str, actor: AuditActor, because: str) -> None:
    """Lift the suppressions of this channel: the contact's own and those of the address that it has.

    The audit log has their reasons and why they are lifted. Raises `NotFound`, or `Conflict` if the channel is not
    suppressed.
    """
    with acting_as(workspace_id):
        address = _fetch_address(workspace_id, contact_id, channel)
        own = (Suppression.workspace_id == workspace_id, Suppression.contact_id == contact_id)
        reasons = fetch_values(
            Suppression.delete().where(*own, Suppression.channel == channel).returning(Suppression.reason)
        )
        reasons += _delete_address(workspace_id, channel, address) if address else []
        if not reasons:
            raise Conflict("This channel is not suppressed.", "channel")
        detail = {"channel": channel, "reasons": sorted(set(reasons)), "because": because}
        audit.record(workspace_id, actor, "contact.suppression_lifted", "contact", contact_id, detail)


def lift_topic(workspace_id: str, address: str, topic: str, actor: AuditActor, because: str) -> list[str]:
    """Lift every suppression of a topic of e-mail for a normalized address; return their reasons.

    Raises `NotFound` if the topic is not suppressed for it.
    """
    with acting_as(workspace_id):
        reasons = suppressed_topic.lift(workspace_id, _hash_or_refuse(workspace_id, address), topic)
        if not reasons:
            raise NotFound("This topic is not suppressed for this address.")
        detail = {"channel": "email", "topic": topic, "reasons": sorted(reasons), "because": because}
        audit.record(workspace_id, actor, "suppression.lifted", "suppression", "email", detail)
    return sorted(reasons)


def lift_address(workspace_id: str, channel: str, address: str, actor: AuditActor, because: str) -> list[str]:
    """Lift every suppression of a normalized address and of the contact that has it; return their reasons.

    Raises `NotFound` if the address is not suppressed.
    """
    field = getattr(Contact, ADDRESS_FIELDS[channel])
    owners = Contact.select(Contact.id).where(Contact.workspace_id == workspace_id, field == address)
    with acting_as(workspace_id):
        reasons = _delete_address(workspace_id, channel, address)
        own = Suppression.delete().where(
            Suppression.workspace_id == workspace_id, Suppression.channel == channel, Suppression.contact_id.in_(owners)
        )
        reasons += fetch_values(own.returning(Suppression.reason))
        if not reasons:
            raise NotFound("This address is not suppressed.")
        detail = {"channel": channel, "reasons": sorted(set(reasons)), "because": because}
        audit.record(workspace_id, actor, "suppression.lifted", "suppression", channel, detail)
    return sorted(set(reasons))


def _delete_address(workspace_id: str, channel: str, address: str) -> list[str]:
    """Delete the suppressions of an address, erased ones too; return their reasons."""
    row, hashed = SuppressedAddress, hash_addresses(workspace_id, {channel: address}).get(channel)
    deletion = row.delete().where(row.workspace_id == workspace_id, row.channel == channel, _match((hashed, address)))
    return fetch_values(deletion.returning(row.reason))


def _fetch_address(workspace_id: str, contact_id: str, channel: str) -> str | None:
    """Return the contact's address on the channel. Raises `NotFound` without the contact."""
    field = getattr(Contact, ADDRESS_FIELDS[channel])
    rows = fetch_values(Contact.select(field).where(is_present(workspace_id, contact_id)))
    if not rows:
        raise NotFound("There is no contact with that id.")
    address: str | None = rows[0]
    return address


def _normalise_or_keep(channel: str, address: str) -> str:
    """Return the address as contacts have it; one that a provider reports in another form is kept."""
    try:
        return normalise_address(channel, address)
    except ValueError:
        return address.strip()
