"""`beckon user`: who may sign in to a workspace, and as what. Nobody but the person ever sees or sets a password."""

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
    """Manage who signs in: an owner may do everything, an operator edits and triggers, a viewer watches."""


def parse_email(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """An address in the spelling in which it is stored; for click, which names the argument that is wrong."""
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
    help="What they may do in this workspace.",
)
@click.option("--deployment-owner", is_flag=True, help="Let them see hosts, processes and all workspaces' queues.")
def add(email: str, workspace: str, role: Any, deployment_owner: bool) -> None:
    """Invite the person with this EMAIL: print a link with which they join and set their own password.

    The link works once, within 72 hours. A newer invitation of the address ends it.
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
    """Print a link with which the person with this EMAIL sets a new password.

    The link works once, within 72 hours. The old password and its sessions end when the new one is set.
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
    """Remove the person with this EMAIL from the workspace and end their sessions there."""
    with connect():
        from models import membership, user

        workspace_id = find_workspace_id(workspace)
        members = [
            row["id"] for row in user.list_members(workspace_id) if (row["email"] or "").lower() == email.lower()
        ]
        if not members:
            raise CommandError("Nobody with that e-mail is a member here.")
        membership.remove(workspace_id, members[0], current_actor())
    click.echo(f"{email} is no member any more.")
