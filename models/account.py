"""Our accounts on Meta's channels: a Page or an Instagram account, each of one workspace, and how it signs in.

The id that Meta gives an account stands in every webhook about it: it is all that says whose the webhook is.
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
    """A new account; its id. The token is stored sealed with `secret_key`.

    Raises `Conflict` where the account belongs to a workspace already: to this one or, without saying so, to another.
    """
    account_id = new_id()
    sealed = encrypt(secret_key, access_token) if access_token else None
    with acting_as(workspace_id):
        try:
            execute(
                "insert into accounts (id, workspace_id, channel, external_id, name, access_token) "
                "values (%s, %s, %s, %s, %s, %s)",
                (account_id, workspace_id, channel, external_id, name, sealed),
            )
        except peewee.IntegrityError as error:
            raise Conflict(f"the {channel} account {external_id} is connected already", "id") from error
    return account_id


def list_all(workspace_id: str) -> list[Row]:
    """The workspace's accounts, oldest first."""
    with acting_as(workspace_id):
        return fetch_rows(f"select {_COLUMNS} from accounts where workspace_id = %s order by id", (workspace_id,))


def find_first(workspace_id: str, channel: str) -> Row | None:
    """The account of a channel that was connected first, or None."""
    with acting_as(workspace_id):
        return fetch_row(
            f"select {_COLUMNS} from accounts where workspace_id = %s and channel = %s order by id limit 1",
            (workspace_id, channel),
        )


def find_by_external_id(channel: str, external_id: str) -> Row | None:
    """Whose account a webhook speaks of. The service sees every workspace's, the dashboard none this way."""
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
    """As whom we write to a contact, when the contact last wrote, and when the comment was deleted that is answered:
    external_id, access_token, last_received_at, comment_deleted_at.

    The account that `named` names by its external id, else the one that the contact wrote to, else the first; nulls
    where there is none.
    """
    row = fetch_row(
        """
        select a.external_id, a.access_token, c.last_received_at, r.deleted_at as comment_deleted_at
        from (select 1) as one
        left join conversations c
            on c.contact_id = %(contact)s and c.channel = %(channel)s and c.workspace_id = %(workspace)s
        left join received_messages r
            on r.workspace_id = %(workspace)s and r.channel = %(channel)s and r.provider_message_id = %(comment)s
        left join lateral (
            select external_id, access_token from accounts
            where workspace_id = %(workspace)s and channel = %(channel)s
            order by external_id is not distinct from %(named)s desc, id is not distinct from c.account_id desc, id
            limit 1
        ) a on true
        """,
        {
            "workspace": workspace_id,
            "contact": contact_id,
            "channel": channel,
            "named": preferred_external_id,
            "comment": comment_id,
        },
    )
    assert row is not None
    return row


def list_sealed_tokens(workspace_id: str, channel: str) -> list[str]:
    """The sealed tokens of the workspace's accounts on a channel."""
    return [
        account["access_token"]
        for account in list_all(workspace_id)
        if account["channel"] == channel and account["access_token"]
    ]


def renew(workspace_id: str, account_id: str, access_token: str | None, secret_key: str) -> bool:
    """Give an account another token of its own, or take it away with None; False where there is none by that id.

    What an expired token held up goes on within seconds (`tasks/sweeps.end_mended_pauses`).
    """
    sealed = encrypt(secret_key, access_token) if access_token else None
    with acting_as(workspace_id):
        return bool(
            execute(
                "update accounts set access_token = %s where workspace_id = %s and id = %s",
                (sealed, workspace_id, account_id),
            )
        )


def remove(workspace_id: str, account_id: str) -> bool:
    """Disconnect an account: its webhooks are dropped from now on. False where there is none by that id."""
    with acting_as(workspace_id):
        return bool(execute("delete from accounts where workspace_id = %s and id = %s", (workspace_id, account_id)))


def format_account(account: Row) -> dict[str, Any]:
    """The account as people and programs may see it: whether it has a token, never which."""
    return {
        "id": account["id"],
        "channel": account["channel"],
        "externalId": account["external_id"],
        "name": account["name"],
        "hasToken": account["access_token"] is not None,
    }
