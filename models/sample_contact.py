"""The sample contacts of tests: invented people who exist in no list, count or search.

A workspace has one series of them, which its tests share; a test run has a series of its own, and a test that describes
a new contact creates one. Retention removes them after the last test that used them. Meta's window is always open for
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypedDict

from peewee import EXCLUDED, fn

from models.database import acting_as
from models.errors import Conflict
from models.expressions import acting_workspace, any_of, is_any, now
from models.ids import new_id
from models.queries import execute, exists, fetch
from models.tables import Contact, Conversation, Execution, Suppression
from rules.channels import CONVERSATION_CHANNELS

#: Identifiers that belong to one contact of a workspace.
_IDENTIFIERS = ("external_id", "email", "phone", "instagram_id", "facebook_id")


class _SampleRow(TypedDict):
    id: str
    external_id: str


def ensure(workspace_id: str, contacts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Create or renew these sample contacts, given by column; return their ids in the same order.

    Raises `Conflict` if a real contact has one of their addresses.
    """
    names = [str(contact["external_id"]) for contact in contacts]
    with acting_as(workspace_id):
        present = _find(workspace_id, names)
        for contact in contacts:
            _save(workspace_id, contact, present.get(str(contact["external_id"])))
        present = _find(workspace_id, names)
        if len(present) < len(set(names)):
            raise Conflict("A contact of this workspace has the address of a sample contact. Change that address.")
        ids = [present[name] for name in names]
        _reset(workspace_id, ids)
        return ids


def _find(workspace_id: str, names: Sequence[str]) -> dict[str, str]:
    query = Contact.select(Contact.id, Contact.external_id).where(
        Contact.workspace_id == workspace_id, Contact.sample, Contact.external_id.in_(list(names)),
        Contact.deleted_at.is_null(),
    )  # fmt: skip
    return {row["external_id"]: row["id"] for row in fetch(_SampleRow, query)}


def _save(workspace_id: str, contact: Mapping[str, Any], contact_id: str | None) -> None:
    if contact_id is not None:
        execute(Contact.update(**contact, updated_at=now()).where(Contact.id == contact_id))
        return
    row = Contact.insert(id=new_id(), workspace_id=workspace_id, sample=True, **contact)
    execute(row.on_conflict_ignore())


def _reset(workspace_id: str, ids: Sequence[str]) -> None:
    """Open Meta's window, and forget the suppressions that earlier tests led to."""
    execute(Suppression.delete().where(Suppression.workspace_id == workspace_id, is_any(Suppression.contact_id, ids)))
    open_windows(workspace_id, ids)


def open_windows(workspace_id: str, ids: Sequence[str]) -> None:
    """Let these sample contacts have just written on Meta's channels."""
    rows = [
        {"contact_id": contact_id, "channel": channel, "workspace_id": workspace_id, "last_received_at": now()}
        for contact_id in ids
        for channel in CONVERSATION_CHANNELS
    ]
    execute(
        Conversation.insert_many(rows).on_conflict(
            conflict_target=(Conversation.contact_id, Conversation.channel, Conversation.workspace_id),
            update={"last_received_at": EXCLUDED.last_received_at},
        )
    )


def retire(contacts: Iterable[Mapping[str, Any]]) -> None:
    """Delete the sample contacts that have an identifier of these real ones, given by column, which they keep out."""
    rows = list(contacts)
    values = {name: [row[name] for row in rows if row.get(name)] for name in _IDENTIFIERS}
    taken = [getattr(Contact, name).in_(texts) for name, texts in values.items() if texts]
    if taken:
        is_living = (Contact.workspace_id == acting_workspace()) & Contact.deleted_at.is_null()
        execute(Contact.update(deleted_at=now()).where(is_living, Contact.sample, any_of(*taken)))


def is_sample(contact_id: str) -> bool:
    """Return whether this is a sample contact."""
    return exists(Contact.select(Contact.id).where(Contact.id == contact_id, Contact.sample))


def remove_unused(keep_days: int) -> int:
    """Remove the sample contacts that no test used in the last `keep_days` days and no execution names; return how
    many."""
    named = Execution.select(Execution.id).where(Execution.contact_id == Contact.id)
    is_old = Contact.updated_at < now() - timedelta(days=keep_days)
    return execute(Contact.delete().where(Contact.sample, is_old, ~fn.exists(named)))
