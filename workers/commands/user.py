"""`beckon user`: the members of a workspace and their roles. Only the user sees or sets their password."""

from __future__ import annotations

from typing import Any

import click

from workers.console import (
    CommandError,
    connect,
    current_actor,
    find_workspace_id,
    format_time,
    in_workspace,
    show_json,
    show_table,
    to_api_names,
)
from workers.console import as_json as json_option


@click.group()
def command() -> None:
    """Manage members. An owner may do everything, an operator edits and triggers, a viewer only reads."""


def parse_email(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Normalise an e-mail address, as a callback of click. Raises BadParameter, which names the argument."""
    from rules.contacts import normalise_email

    try:
        return text and normalise_email(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@command.command()
@click.argument("email", callback=parse_email)
@in_workspace
@click.option(
    "--role",
    type=click.Choice(["owner", "operator", "viewer"]),
    default="viewer",
    show_default=True,
    help="Role in the workspace.",
)
@click.option(
    "--deployment-owner", is_flag=True, help="Allow the user to see hosts, processes and the queues of all workspaces."
)
def add(email: str, workspace: str, role: Any, deployment_owner: bool) -> None:
    """Invite EMAIL to the workspace: print a link to join and set a password.

    The link works once, within 72 hours. A newer invitation of the same address invalidates it.
    """
    with connect() as settings:
        from models import invitation
        from tasks.operators.invitations import build_link

        invited = invitation.create(
            find_workspace_id(workspace), email, role, current_actor(), deployment_owner=deployment_owner
        )
        url = build_link(settings, invited.shown_token)
    click.echo(url)
    click.echo(f"{email} is invited as {role}. The link works once, until {format_time(invited.expires_at)} UTC.")


@command.command("list")
@in_workspace
@json_option
def list_(workspace: str, as_json: bool) -> None:
    """List the members of the workspace."""
    with connect():
        from models import user

        members = user.list_members(find_workspace_id(workspace))
    if as_json:
        show_json({"members": [to_api_names(member) for member in members]})
        return
    lines = [[member["email"], member["name"], member["role"], member["created_at"]] for member in members]
    show_table(("e-mail", "name", "role", "since (UTC)"), lines, "No members yet. `beckon user add EMAIL` invites one.")


@command.command()
@click.argument("email")
def reset(email: str) -> None:
    """Print a link with which the user EMAIL sets a new password.

    The link works once, within 72 hours. The old password and its sessions stay valid until the new one is set.
    """
    with connect() as settings:
        from models import password_reset

        token = password_reset.issue(email, current_actor())
    click.echo(f"{settings.url.rstrip('/')}/password-resets/{token}")
    click.echo("The link works once, within 72 hours.")


@command.command()
@click.argument("email")
@in_workspace
def remove(email: str, workspace: str) -> None:
    """Remove the member EMAIL from the workspace and end their sessions there."""
    with connect():
        from models import membership, user

        workspace_id = find_workspace_id(workspace)
        members = [
            row["id"] for row in user.list_members(workspace_id) if (row["email"] or "").lower() == email.lower()
        ]
        if not members:
            raise CommandError("There is no member with that e-mail.")
        membership.remove(workspace_id, members[0], current_actor())
    click.echo(f"{email} is removed from the workspace.")
