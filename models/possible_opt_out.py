"""What contacts write that may be an opt-out ("please no more"): listed until an operator suppresses or dismisses it.

The text stands in the received message, so that its deletion removes it here. The message counts as a reply, which ends
follow-ups, whatever is decided.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

from peewee import JOIN, Case

from models import audit, suppression
from models.audit import AuditActor
from models.database import acting_as
from models.errors import Conflict, NotFound
from models.expressions import now
from models.ids import new_id
from models.queries import count, execute, fetch, fetch_first
from models.recent_reads import RecentReads
from models.tables import Contact, PossibleOptOut, ReceivedMessage
from models.tables.contacts import OptOutResolution
from rules.channels import ADDRESS_FIELDS

#: Who resolves what the contact asks for in clear words afterwards.
RECIPIENT = audit.RECIPIENT.name


class PossibleOptOutRow(TypedDict):
    """A message that may be an opt-out, with the contact as it is now; `text` is None once it is removed."""

    id: str
    contact_id: str
    first_name: str | None
    last_name: str | None
    username: str | None
    external_id: str | None
    email: str | None
    phone: str | None
    facebook_id: str | None
    instagram_id: str | None
    channel: str
    address: str | None
    text: str | None
    created_at: datetime
    resolved_as: OptOutResolution | None
    resolved_at: datetime | None
    resolved_by: str | None


def record(workspace_id: str, contact_id: str, channel: str, received_message_id: str) -> None:
    """List a received message, once and unless the channel is suppressed, inside the caller's transaction."""
    if any(row["channel"] == channel for row in suppression.list_for_contact(workspace_id, contact_id)):
        return
    insertion = PossibleOptOut.insert(
        id=new_id(), workspace_id=workspace_id, contact_id=contact_id, channel=channel,
        received_message_id=received_message_id,
    )  # fmt: skip
    execute(insertion.on_conflict_ignore())


def settle(workspace_id: str, contact_id: str, channel: str, by: str = RECIPIENT) -> None:
    """Resolve what is open of a contact on a channel that is suppressed now, inside the caller's transaction."""
    row = PossibleOptOut
    is_open = (row.workspace_id == workspace_id) & (row.contact_id == contact_id) & (row.channel == channel)
    changes = {"resolved_as": "suppress", "resolved_at": now(), "resolved_by": by}
    execute(row.update(changes).where(is_open, row.resolved_at.is_null()))


def _count_open(workspace_id: str) -> int:
    with acting_as(workspace_id):
        row = PossibleOptOut
        return count(row.select(row.id).where(row.workspace_id == workspace_id, row.resolved_at.is_null()))


#: The number of messages that nobody has judged, with a short cache.
count_open = RecentReads(_count_open)


def fetch_page(
    workspace_id: str, limit: int, before: str | None, *, is_resolved: bool = False
) -> list[PossibleOptOutRow]:
    """Return at most `limit` messages, newest first, older than the one with id `before`."""
    query = _select(workspace_id).where(PossibleOptOut.resolved_at.is_null(not is_resolved))
    if before is not None:
        query = query.where(PossibleOptOut.id < before)
    with acting_as(workspace_id):
        return fetch(PossibleOptOutRow, query.order_by(PossibleOptOut.id.desc()).limit(limit))


def _select(workspace_id: str) -> Any:
    row = PossibleOptOut
    names = [name for name in PossibleOptOutRow.__annotations__ if name in Contact._meta.fields]
    columns = [getattr(Contact, name) for name in names if name not in ("id", "created_at")]
    addresses = [(row.channel == channel, getattr(Contact, field)) for channel, field in ADDRESS_FIELDS.items()]
    return (
        row.select(
            row.id, row.contact_id, *columns, row.channel, Case(None, addresses).alias("address"),
            ReceivedMessage.text, row.created_at, row.resolved_as, row.resolved_at, row.resolved_by,
        )
        .join(Contact, on=Contact.id == row.contact_id)
        .switch(row)
        .join(ReceivedMessage, JOIN.LEFT_OUTER, on=ReceivedMessage.id == row.received_message_id)
        .where(row.workspace_id == workspace_id)
    )  # fmt: skip


def resolve(workspace_id: str, row_id: str, decision: OptOutResolution, actor: AuditActor) -> PossibleOptOutRow:
    """Suppress the contact and its address on the channel, or dismiss the message; return the row.

    Suppressing resolves every open message of the contact on the channel. Raises `NotFound`, or `Conflict` if it is
    resolved.
    """
    with acting_as(workspace_id):
        row = _fetch(workspace_id, row_id)
        if row is None:
            raise NotFound("There is no possible opt-out with that id.")
        changes = {"resolved_as": decision, "resolved_at": now(), "resolved_by": actor.name}
        is_open = (PossibleOptOut.id == row_id) & PossibleOptOut.resolved_at.is_null()
        if not execute(PossibleOptOut.update(changes).where(is_open)):
            raise Conflict("This message is already resolved.")
        if decision == "suppress":
            suppression.add_for_word(workspace_id, row["contact_id"], row["channel"], row["address"] or "")
            settle(workspace_id, row["contact_id"], row["channel"], actor.name)
        action = "possible_opt_out.suppressed" if decision == "suppress" else "possible_opt_out.dismissed"
        detail = {"channel": row["channel"], "contactId": row["contact_id"]}
        audit.record(workspace_id, actor, action, "possible_opt_out", row_id, detail)
        resolved = _fetch(workspace_id, row_id)
    count_open.forget(workspace_id)
    assert resolved is not None
    return resolved


def _fetch(workspace_id: str, row_id: str) -> PossibleOptOutRow | None:
    return fetch_first(PossibleOptOutRow, _select(workspace_id).where(PossibleOptOut.id == row_id))
