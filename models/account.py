"""A workspace's accounts on Meta's channels: Pages and Instagram accounts, with their access tokens.

Every webhook names the account's Meta id; only that id tells which workspace the webhook belongs to.
"""

from __future__ import annotations

from typing import Any

import peewee

from models.database import Row, acting_as, execute, fetch_row, fetch_rows, transaction
from models.encryption import encrypt
from models.errors import Conflict
from models.ids import new_id

_COLUMNS = "id, workspace_id, channel, external_id, name, access_token, created_at"


def add(
    workspace_id: str,
    channel: str,
    external_id: str,
    name: str,
    *,
    access_token: str | None = None,
    secret_key: str = "",
) -> str:
    """Create an account; return its id. The token is stored encrypted with `secret_key`.

    Raises `Conflict` if the account already belongs to this workspace or, without revealing it, to another.
    """
    account_id = new_id()
    encrypted = encrypt(secret_key, access_token) if access_token else None
    with acting_as(workspace_id):
        try:
            execute(
                "insert into accounts (id, workspace_id, channel, external_id, name, access_token) "
                "values (%s, %s, %s, %s, %s, %s)",
                (account_id, workspace_id, channel, external_id, name, encrypted),
            )
        except peewee.IntegrityError as error:
            raise Conflict(f"the {channel} account {external_id} is already connected", "id") from error
    return account_id


def list_all(workspace_id: str) -> list[Row]:
    """Return the workspace's accounts, oldest first."""
    with acting_as(workspace_id):
        return fetch_rows(f"select {_COLUMNS} from accounts where workspace_id = %s order by id", (workspace_id,))


def find_first(workspace_id: str, channel: str) -> Row | None:
    """Return the account of a channel that was connected first, or None."""
    with acting_as(workspace_id):
        return fetch_row(
            f"select {_COLUMNS} from accounts where workspace_id = %s and channel = %s order by id limit 1",
            (workspace_id, channel),
        )


def find_by_external_id(channel: str, external_id: str) -> Row | None:
    """Find a webhook's account. The service finds every workspace's; the dashboard finds none this way."""
    with transaction():
        return fetch_row(
            f"select {_COLUMNS} from accounts where channel = %s and external_id = %s", (channel, external_id)
        )


def fetch_sender(
    workspace_id: str,
    contact_id: str | None,
    channel: str,
    preferred_external_id: str | None,
    comment_id: str | None = None,
) -> Row:
    """Return the account that sends to a contact: external_id and access_token, with `last_received_at` (when the
    contact last wrote) and `comment_deleted_at` (when the comment being answered was deleted).

    The account with `preferred_external_id`, else the one that the contact wrote to, else the first; nulls if there is
    none.
    """
    row = fetch_row(
        """
        select a.external_id, a.access_token, c.last_received_at, r.deleted_at as comment_deleted_at
        from (select 1) as single_row
        left join conversations c
            on c.contact_id = %(contact)s and c.channel = %(channel)s and c.workspace_id = %(workspace)s
        left join received_messages r
            on r.workspace_id = %(workspace)s and r.channel = %(channel)s and r.provider_message_id = %(comment)s
        left join lateral (
            select external_id, access_token from accounts
            where workspace_id = %(workspace)s and channel = %(channel)s
            order by external_id is not distinct from %(preferred)s desc, id is not distinct from c.account_id desc, id
            limit 1
        ) a on true
        """,
        {
            "workspace": workspace_id,
            "contact": contact_id,
            "channel": channel,
            "preferred": preferred_external_id,
            "comment": comment_id,
        },
    )
    assert row is not None
    return row


def list_sealed_tokens(workspace_id: str, channel: str) -> list[str]:
    """Return the encrypted tokens of the workspace's accounts on a channel."""
    return [
        account["access_token"]
        for account in list_all(workspace_id)
        if account["channel"] == channel and account["access_token"]
    ]


def renew(workspace_id: str, account_id: str, access_token: str | None, secret_key: str) -> bool:
    """Replace an account's token, or remove it with None; return False if there is no account with that id.

    Executions paused for an expired token continue within seconds (`tasks.periodic_jobs.end_resolved_pauses`).
    """
    encrypted = encrypt(secret_key, access_token) if access_token else None
    with acting_as(workspace_id):
        return bool(
            execute(
                "update accounts set access_token = %s where workspace_id = %s and id = %s",
                (encrypted, workspace_id, account_id),
            )
        )


def remove(workspace_id: str, account_id: str) -> bool:
    """Disconnect an account: its webhooks are dropped from now on. Returns False if there is none with that id."""
    with acting_as(workspace_id):
        return bool(execute("delete from accounts where workspace_id = %s and id = %s", (workspace_id, account_id)))


def format_account(account: Row) -> dict[str, Any]:
    """Format the account for the API: whether it has a token, never the token."""
    return {
        "id": account["id"],
        "channel": account["channel"],
        "externalId": account["external_id"],
        "name": account["name"],
        "hasToken": account["access_token"] is not None,
    }
