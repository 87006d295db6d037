"""`beckon account`: the Facebook Pages and Instagram accounts of a workspace."""

from __future__ import annotations

import re
import sys

import click

from rules.channels import CONVERSATION_CHANNELS
from workers.console import (
    CommandError,
    connect,
    current_actor,
    find_workspace_id,
    in_workspace,
    show_json,
    show_table,
)
from workers.console import as_json as json_option


@click.group()
def command() -> None:
    """Manage Facebook Pages and Instagram accounts. Meta's webhooks about unconnected accounts are dropped."""


@command.command()
@click.argument("channel", type=click.Choice(CONVERSATION_CHANNELS), metavar="CHANNEL")
@click.argument("external_id", metavar="ID")
@in_workspace
@click.option("--name", default="", help="Display name.")
@click.option("--token-stdin", is_flag=True, help="Read the account's access token from standard input.")
def add(channel: str, external_id: str, workspace: str, name: str, token_stdin: bool) -> None:
    """Connect the Page or the Instagram account with Meta's id ID; CHANNEL is `facebook` or `instagram`.

    Without --token-stdin the account uses META_PAGE_ACCESS_TOKEN.
    """
    from models import account, audit
    from models.database import acting_as

    if not re.fullmatch(r"[0-9]{1,32}", external_id):
        raise click.BadParameter("must be Meta's numeric id of the account", param_hint="ID")
    token = _read_token() if token_stdin else None
    with connect() as settings:
        workspace_id = find_workspace_id(workspace)
        with acting_as(workspace_id):
            account_id = account.add(
                workspace_id, channel, external_id, name, access_token=token, secret_key=settings.secret_key
            )
            detail = {"channel": channel, "externalId": external_id, "hasToken": token is not None}
            audit.record(workspace_id, current_actor(), "account.connected", "account", account_id, detail)
    click.echo(f"{channel} {external_id} is connected with the id {account_id}.")


def _read_token() -> str:
    token = sys.stdin.readline().strip()
    if not token:
        raise CommandError("There is no access token on standard input.")
    return token


@command.command()
@click.argument("account_id", metavar="ID")
@in_workspace
@click.option("--forget", is_flag=True, help="Delete the token; the account uses META_PAGE_ACCESS_TOKEN again.")
def token(account_id: str, workspace: str, forget: bool) -> None:
    """Replace the access token of the account ID with one from standard input.

    Messages that waited because of the old token are sent within seconds. No restart is needed.
    """
    access_token = None if forget else _read_token()
    with connect() as settings:
        from models import account, audit
        from models.database import acting_as
        from models.ids import is_id

        workspace_id = find_workspace_id(workspace)
        with acting_as(workspace_id):
            if not is_id(account_id) or not account.renew(workspace_id, account_id, access_token, settings.secret_key):
                raise CommandError("There is no account with that id.")
            audit.record(
                workspace_id, current_actor(), "account.renewed", "account", account_id, {"hasToken": not forget}
            )
    click.echo("The account's token is deleted." if forget else "The account's token is replaced.")


@command.command("list")
@in_workspace
@json_option
def list_(workspace: str, as_json: bool) -> None:
    """List the workspace's accounts, oldest first. Tokens are never shown."""
    with connect():
        from models import account

        accounts = [account.format_account(row) for row in account.list_all(find_workspace_id(workspace))]
    if as_json:
        show_json({"accounts": accounts})
        return
    headings = ("id", "channel", "Meta's id", "name", "own token")
    show_table(
        headings, [list(row.values()) for row in accounts], "No accounts yet. `beckon account add` connects one."
    )


@command.command()
@click.argument("account_id", metavar="ID")
@in_workspace
def remove(account_id: str, workspace: str) -> None:
    """Disconnect the account ID. Its webhooks are dropped from now on."""
    with connect():
        from models import account, audit
        from models.database import acting_as
        from models.ids import is_id

        workspace_id = find_workspace_id(workspace)
        with acting_as(workspace_id):
            if not is_id(account_id) or not account.remove(workspace_id, account_id):
                raise CommandError("There is no account with that id.")
            audit.record(workspace_id, current_actor(), "account.disconnected", "account", account_id)
    click.echo("The account is disconnected.")
