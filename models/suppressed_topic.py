"""Topics of e-mail that single addresses do not get: chosen by the recipient, or added by an operator.

An address is named by its keyed hash; `EmailRecipient` has the address until it is erased. A topic belongs to the
address alone, whichever contact has it.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.ids import new_id
from models.queries import execute, fetch_values
from models.tables import EmailRecipient, SuppressedTopic
from models.tables.contacts import SuppressionReason
from rules.consent import UNSUBSCRIBED


def list_topics(workspace_id: str, address_hash: bytes) -> list[str]:
    """Return the topics that the address does not get."""
    row = SuppressedTopic
    own = row.workspace_id == workspace_id, row.address_hash == address_hash
    return fetch_values(row.select(row.topic).where(*own).distinct())


def add(workspace_id: str, address_hash: bytes, address: str, topic: str, reason: SuppressionReason) -> str | None:
    """Suppress a topic for an address; return the new row's id, or None if it is suppressed for this reason."""
    remembered = EmailRecipient.insert(workspace_id=workspace_id, address_hash=address_hash, address=address)
    key = (EmailRecipient.workspace_id, EmailRecipient.address_hash)
    execute(remembered.on_conflict(conflict_target=key, update={EmailRecipient.address: address}))
    return _insert(workspace_id, address_hash, topic, reason)


def lift(workspace_id: str, address_hash: bytes, topic: str) -> list[str]:
    """Delete the suppressions of a topic for an address; return their reasons."""
    row = SuppressedTopic
    own = row.workspace_id == workspace_id, row.address_hash == address_hash, row.topic == topic
    return fetch_values(row.delete().where(*own).returning(row.reason))


def record_choices(workspace_id: str, address_hash: bytes, topics: Mapping[str, bool]) -> None:
    """Replace what the recipient chose before; what an operator added stays."""
    row = SuppressedTopic
    own = row.workspace_id == workspace_id, row.address_hash == address_hash, row.reason == UNSUBSCRIBED
    refused = [topic for topic, is_allowed in topics.items() if not is_allowed]
    execute(row.delete().where(*own, row.topic.not_in(refused)) if refused else row.delete().where(*own))
    for topic in refused:
        _insert(workspace_id, address_hash, topic, UNSUBSCRIBED)


def _insert(workspace_id: str, address_hash: bytes, topic: str, reason: SuppressionReason) -> str | None:
    insertion = SuppressedTopic.insert(
        id=new_id(), workspace_id=workspace_id, address_hash=address_hash, topic=topic, reason=reason
    )
    added = fetch_values(insertion.on_conflict_ignore().returning(SuppressedTopic.id))
    return added[0] if added else None
