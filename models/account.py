"""A workspace's accounts on Meta's channels: Pages and Instagram accounts, with their access tokens.

Every webhook names the account's Meta id; only that id tells which workspace the webhook belongs to.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict

import peewee
from peewee import fn

from models.database import acting_as, transaction
from models.encryption import encrypt
from models.errors import Conflict
from models.expressions import any_of, is_distinct_from
from models.ids import new_id
from models.queries import execute, exists, fetch, fetch_first
from models.tables import Account


class AccountRow(TypedDict):
    """An account; its token is encrypted."""

    id: str
    workspace_id: str
    channel: str
    external_id: str
    name: str
    access_token: str | None
    created_at: datetime
    username: str | None
    scoped_id: str | None


class SenderRow(TypedDict):
    """The account that sends to a contact, null without one; when the contact last wrote; and when the comment being
    answered was deleted."""

    external_id: str | None
    access_token: str | None
    last_received_at: datetime | None
    comment_deleted_at: datetime | None


# Written by hand: it returns a row even without an account or a conversation, by lateral joins to a row of nothing.
_FETCH_SENDER = """
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
    """


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
                Account.insert(
                    id=account_id, workspace_id=workspace_id, channel=channel, external_id=external_id, name=name,
                    access_token=encrypted,
                )
            )  # fmt: skip
        except peewee.IntegrityError as error:
            raise Conflict(f"the {channel} account {external_id} is already connected", "id") from error
    return account_id


def list_all(workspace_id: str) -> list[AccountRow]:
    """Return the workspace's accounts, oldest first."""
    with acting_as(workspace_id):
        return fetch(AccountRow, Account.select().where(Account.workspace_id == workspace_id).order_by(Account.id))


def find_first(workspace_id: str, channel: str) -> AccountRow | None:
    """Return the account of a channel that was connected first, or None."""
    query = Account.select().where(Account.workspace_id == workspace_id, Account.channel == channel)
    with acting_as(workspace_id):
        return fetch_first(AccountRow, query.order_by(Account.id).limit(1))


def find_by_external_id(channel: str, external_id: str) -> AccountRow | None:
    """Find a webhook's account. The service finds every workspace's; the dashboard finds none this way."""
    query = Account.select().where(Account.channel == channel, Account.external_id == external_id)
    with transaction():
        return fetch_first(AccountRow, query)


def note_own_names(account_id: str, username: str | None, scoped_id: str | None) -> None:
    """Keep the name and the other id that an account's own comment bears."""
    names = {"username": username and username.lower(), "scoped_id": scoped_id}
    columns = {name: text for name, text in names.items() if text}
    if columns:
        differs = any_of(*(is_distinct_from(getattr(Account, name), text) for name, text in columns.items()))
        execute(Account.update(columns).where(Account.id == account_id, differs))


def is_own(workspace_id: str, channel: str, external_id: str | None, username: str | None) -> bool:
    """Whether an id or a username is that of an account of the workspace, by all that is known of it."""
    names = [Account.external_id == external_id, Account.scoped_id == external_id]
    if username:
        handle = username.lower()
        # A name that is written as a username is taken for one.
        names += [Account.username == handle, fn.ltrim(fn.lower(Account.name), "@") == handle]
    query = Account.select(Account.id).where(Account.workspace_id == workspace_id, Account.channel == channel)
    return exists(query.where(any_of(*names)))


def fetch_sender(
    workspace_id: str,
    contact_id: str | None,
    channel: str,
    preferred_external_id: str | None,
    comment_id: str | None = None,
) -> SenderRow:
    """Return the account that sends to a contact: the one with `preferred_external_id`, else the one that the contact
    wrote to, else the first; nulls if there is none."""
    row = fetch_first(
        SenderRow,
        _FETCH_SENDER,
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
                Account.update(access_token=encrypted).where(
                    Account.workspace_id == workspace_id, Account.id == account_id
                )
            )
        )


def remove(workspace_id: str, account_id: str) -> bool:
    """Disconnect an account: its webhooks are dropped from now on. Returns False if there is none with that id."""
    with acting_as(workspace_id):
        return bool(execute(Account.delete().where(Account.workspace_id == workspace_id, Account.id == account_id)))


def format_account(account: AccountRow) -> dict[str, Any]:
    """Format the account for the API: whether it has a token, never the token."""
    return {
        "id": account["id"],
        "channel": account["channel"],
        "externalId": account["external_id"],
        "name": account["name"],
        "hasToken": account["access_token"] is not None,
    }
