"""`beckon account`: the Pages and Instagram accounts for which a workspace speaks and hears."""

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
    """Connect accounts of Facebook and Instagram. Meta's webhooks about an account that nobody has are dropped."""


@command.command()
@click.argument("channel", type=click.Choice(CONVERSATION_CHANNELS), metavar="CHANNEL")
@click.argument("external_id", metavar="ID")
@in_workspace
@click.option("--name", default="", help="What to call it.")
@click.option("--token-stdin", is_flag=True, help="Read its own access token from standard input.")
def add(channel: str, external_id: str, workspace: str, name: str, token_stdin: bool) -> None:
    """Connect the Page or the Instagram account with Meta's id ID; CHANNEL is `facebook` or `instagram`.

    Without a token of its own it speaks with META_PAGE_ACCESS_TOKEN.
    """
    from models import account, audit
    from models.database import acting_as

    if not re.fullmatch(r"[0-9]{1,32}", external_id):
        raise click.BadParameter("must be the number that Meta gave the account", param_hint="ID")
    token = _read_token() if token_stdin else None
    with connect() as settings:
        workspace_id = find_workspace_id(workspace)
        with acting_as(workspace_id):
            account_id = account.add(
                workspace_id, channel, external_id, name, access_token=token, secret_key=settings.secret_key
            )
            detail = {"channel": channel, "externalId": external_id, "hasToken": token is not None}
            audit.record(workspace_id, current_actor(), "account.connected", "account", account_id, detail)
    click.echo(f"{channel} {external_id} is connected. Its id here is {account_id}.")


def _read_token() -> str:
    token = sys.stdin.readline().strip()
    if not token:
        raise CommandError("There was no access token on standard input.")
    return token


@command.command()
@click.argument("account_id", metavar="ID")
@in_workspace
@click.option("--forget", is_flag=True, help="Take its own token away: it speaks with META_PAGE_ACCESS_TOKEN again.")
def token(account_id: str, workspace: str, forget: bool) -> None:
    """Give the account whose id here is ID another access token, read from standard input.

    What an expired token held up is sent within seconds. Nothing needs a restart.
    """
    access_token = None if forget else _read_token()
    with connect() as settings:
        from models import account, audit
        from models.database import acting_as
        from models.ids import is_id

        workspace_id = find_workspace_id(workspace)
        with acting_as(workspace_id):
            if not is_id(account_id) or not account.renew(workspace_id, account_id, access_token, settings.secret_key):
                raise CommandError("There is no account by that id.")
            audit.record(
                workspace_id, current_actor(), "account.renewed", "account", account_id, {"hasToken": not forget}
            )
    click.echo("The account has no token of its own any more." if forget else "The account has its new token.")


@command.command("list")
@in_workspace
@json_option
def list_(workspace: str, as_json: bool) -> None:
    """List the workspace's accounts, oldest first; tokens are never shown."""
    with connect():
        from models import account

        accounts = [account.format_account(row) for row in account.list_all(find_workspace_id(workspace))]
    if as_json:
        show_json({"accounts": accounts})
        return
    headings = ("id", "channel", "Meta's id", "name", "own token")
    show_table(headings, [list(row.values()) for row in accounts], "No account. `beckon account add` connects one.")


@command.command()
@click.argument("account_id", metavar="ID")
@in_workspace
def remove(account_id: str, workspace: str) -> None:
    """Disconnect the account whose id here is ID: nothing is heard of it from now on."""
    with connect():
        from models import account, audit
        from models.database import acting_as
        from models.ids import is_id

        workspace_id = find_workspace_id(workspace)
        with acting_as(workspace_id):
            if not is_id(account_id) or not account.remove(workspace_id, account_id):
                raise CommandError("There is no account by that id.")
            audit.record(workspace_id, current_actor(), "account.disconnected", "account", account_id)
    click.echo("The account is disconnected.")
