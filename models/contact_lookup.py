"""Finds the contact of a received message by its address, if the callback names no sent message."""

from __future__ import annotations

from models.database import Row, fetch_row
from rules.channels import ADDRESS_FIELDS


def find_by_address(channel: str, address: str, workspace_id: str | None, *, demo_only: bool = False) -> Row | None:
    """Return the contact with this address: in `workspace_id` or, if None, in the workspace that last messaged it.

    `demo_only` limits the search to demo workspaces.
    """
    return fetch_row(
        f"""
        select c.id, c.workspace_id from contacts c
        where c.{ADDRESS_FIELDS[channel]} = lower(%(address)s) and c.deleted_at is null
            and (%(workspace)s::uuid is null or c.workspace_id = %(workspace)s)
            and (not %(demo_only)s or exists (select 1 from workspaces w where w.id = c.workspace_id and w.demo))
        order by (select max(m.sent_at) from messages m where m.contact_id = c.id) desc nulls last limit 1
        """,
        {"address": address, "workspace": workspace_id, "demo_only": demo_only},
    )
