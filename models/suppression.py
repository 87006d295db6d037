"""Suppressed channels of contacts: added, lifted and listed.

Every suppression is inserted here: by operators, for bounces, complaints and opt-outs, and as an effect of a step. The
engine checks before each send, so a change affects executions in flight at their next message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models import audit
from models.audit import Actor
from models.database import Row, acting_as, execute, fetch_rows, fetch_value
from models.errors import Conflict, NotFound
from rules.channels import ADDRESS_FIELDS


def list_for_contact(workspace_id: str, contact_id: str) -> list[Row]:
    """Return a contact's suppressed channels: channel, address, reason, created_at."""
    with acting_as(workspace_id):
        return fetch_rows(
            "select channel, address, reason, created_at from suppressions "
            "where workspace_id = %s and contact_id = %s order by channel",
            (workspace_id, contact_id),
        )


def add(workspace_id: str, contact_id: str, channel: str, actor: Actor) -> None:
    """Suppress the contact on this channel. Raises `NotFound`, or `Conflict` if it is already suppressed."""
    with acting_as(workspace_id):
        added = execute(
            "insert into suppressions (workspace_id, contact_id, channel, address, reason) "
            f"select workspace_id, id, %s, {ADDRESS_FIELDS[channel]}, 'operator' from contacts "
            "where id = %s and workspace_id = %s and deleted_at is null "
            "on conflict (workspace_id, contact_id, channel) do nothing",
            (channel, contact_id, workspace_id),
        )
        if not added:
            _refuse(workspace_id, contact_id, Conflict("This channel is already suppressed.", "channel"))
        audit.record(workspace_id, actor, "contact.suppressed", "contact", contact_id, {"channel": channel})


def add_for_message(message: Mapping[str, Any], reason: str) -> None:
    """Suppress the contact of a message on its channel; a test suppresses nobody."""
    if message["contact_id"] is None or message["test"]:
        return
    execute(
        "insert into suppressions (workspace_id, contact_id, channel, address, reason) values (%s, %s, %s, %s, %s) "
        "on conflict (workspace_id, contact_id, channel) do nothing",
        (message["workspace_id"], message["contact_id"], message["channel"], message["to_address"], reason),
    )


def add_for_execution(
    cursor: Any, execution_id: str, contact_id: str, channel: str, address: str | None, reason: str
) -> None:
    """Suppress the contact of an execution with the caller's cursor, inside the caller's transaction."""
    cursor.execute(
        """
        insert into suppressions (workspace_id, contact_id, channel, address, reason)
        select workspace_id, %s, %s, %s, %s from executions where id = %s
        on conflict (workspace_id, contact_id, channel) do nothing
        """,
        (contact_id, channel, address, reason, execution_id),
    )


def lift(workspace_id: str, contact_id: str, channel: str, actor: Actor) -> None:
    """Lift a suppression of this channel. Raises `NotFound`, or `Conflict` if the channel is not suppressed."""
    with acting_as(workspace_id):
        lifted = fetch_rows(
            "delete from suppressions where workspace_id = %s and contact_id = %s and channel = %s returning reason",
            (workspace_id, contact_id, channel),
        )
        if not lifted:
            _refuse(workspace_id, contact_id, Conflict("This channel is not suppressed.", "channel"))
        detail = {"channel": channel, "reason": lifted[0]["reason"]}
        audit.record(workspace_id, actor, "contact.suppression_lifted", "contact", contact_id, detail)


def _refuse(workspace_id: str, contact_id: str, conflict: Conflict) -> None:
    query = "select true from contacts where id = %s and workspace_id = %s and deleted_at is null"
    if fetch_value(query, (contact_id, workspace_id)):
        raise conflict
    raise NotFound("There is no contact with that id.")
