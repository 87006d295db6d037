"""Our answers to HELP: stored in the transaction of the event, and sent at most once.

A reply whose sending was cut off stays `sending` and is not sent again. The address is removed once a reply is sent or
has failed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

import peewee

from models.address_key import hash_addresses
from models.expressions import now
from models.ids import new_id
from models.queries import count, execute, fetch_first, fetch_values
from models.tables import HelpReply, Pause, Workspace

#: Replies to one number in an hour: a program at the other end may answer each with another HELP.
MAX_PER_HOUR = 10
#: A reply that could not be sent for so long, such as during a pause, is of no use any more.
MAX_AGE = timedelta(days=1)


class HelpReplyRow(TypedDict):
    """A claimed reply; `demo`: its workspace is the demo."""

    workspace_id: str
    to_address: str
    sender: str | None
    body: str
    sandbox: bool
    demo: bool


def record(workspace_id: str, address: str, sender: str | None, body: str, *, sandbox: bool) -> str | None:
    """Store a reply, inside the caller's transaction; return its id, or None beyond `MAX_PER_HOUR`.

    `sandbox`: the sandbox brought the request, and gets the reply.
    """
    address_hash = hash_addresses(workspace_id, {"sms": address}).get("sms")
    recent = HelpReply.select(HelpReply.id).where(
        HelpReply.workspace_id == workspace_id,
        HelpReply.address_hash == address_hash,
        HelpReply.created_at > now() - timedelta(hours=1),
    )
    if address_hash is not None and count(recent) >= MAX_PER_HOUR:
        return None
    row_id = new_id()
    execute(
        HelpReply.insert(
            id=row_id, workspace_id=workspace_id, to_address=address, address_hash=address_hash, sender=sender,
            body=body, sandbox=sandbox,
        )
    )  # fmt: skip
    return row_id


def claim(row_id: str) -> HelpReplyRow | None:
    """Mark a pending reply as being sent and return it; None where SMS are paused, or another process has it."""
    is_pause_of_sms = ((Pause.kind == "queue") & (Pause.name == "sending")) | (
        (Pause.kind == "provider") & (Pause.name == "telnyx")
    )
    pauses = Pause.select(Pause.id).where(Pause.workspace_id == HelpReply.workspace_id, is_pause_of_sms)
    demo = Workspace.select(Workspace.demo).where(Workspace.id == HelpReply.workspace_id)
    claiming = HelpReply.update(status="sending").where(
        HelpReply.id == row_id, HelpReply.status == "pending", ~peewee.fn.exists(pauses)
    )
    return fetch_first(
        HelpReplyRow,
        claiming.returning(
            HelpReply.workspace_id, HelpReply.to_address, HelpReply.sender, HelpReply.body, HelpReply.sandbox,
            demo.alias("demo"),
        ),
    )  # fmt: skip


def finish(row_id: str, error: str | None = None) -> None:
    """Record that a claimed reply was sent, or why it was not, and remove its address."""
    status = "failed" if error else "sent"
    changes = {"status": status, "error": error, "to_address": None}
    execute(HelpReply.update(changes).where(HelpReply.id == row_id, HelpReply.status == "sending"))


def list_pending(older_than_seconds: float, limit: int) -> list[str]:
    """Return the ids of replies that are unsent for a while."""
    age = now() - HelpReply.created_at
    query = HelpReply.select(HelpReply.id).where(
        HelpReply.status == "pending", age > timedelta(seconds=older_than_seconds), age < MAX_AGE
    )
    return fetch_values(query.order_by(HelpReply.created_at).limit(limit))
