"""`beckon user`: who may sign in to a workspace, and as what."""

from __future__ import annotations

import secrets
import sys

import click

from workers.terminal import Refused, actor, connected, in_workspace, named, show_json, show_table, workspace_id
from workers.terminal import as_json as json_option

SHORTEST_PASSWORD = 10
_stdin = click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input.")


@click.group()
def command() -> None:
    """Manage who signs in: an owner may do everything, an operator edits and triggers, a viewer watches."""


def _password(from_stdin: bool) -> str:
    if not from_stdin:
        return secrets.token_urlsafe(12)
    given = sys.stdin.readline().rstrip("\r\n")
    if len(given) < SHORTEST_PASSWORD:
        raise Refused(f"a password has at least {SHORTEST_PASSWORD} characters")
    return given


@command.command()
@click.argument("email")
@in_workspace
@click.option(
    "--role",
    type=click.Choice(["owner", "operator", "viewer"]),
    default="viewer",
    show_default=True,
    help="What they may do in this workspace.",
)
@click.option("--name", default="", help="What they are called.")
@_stdin
def add(email: str, workspace: str, role: str, name: str, from_stdin: bool) -> None:
    """Let the person with this EMAIL sign in, or change the role of who is a member already.

    A new person gets a password, which is shown this once unless it was given.
    """
    from models import audit, user
    from models.database import acting_as
    from rules.contacts import normalise_email

    try:
        address = normalise_email(email)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="EMAIL") from None
    with connected():
        found, password = workspace_id(workspace), None
        user_id = user.id_of(address)
        if user_id is None:
            password = _password(from_stdin)
            user_id = user.create(address, name, password)
        with acting_as(found):
            user.join(found, user_id, role)  # type: ignore[arg-type]  # click has checked the choice
            audit.record(found, actor(), "member.added", "user", user_id, {"email": address, "role": role})
    click.echo(f"{address} is {role} here.")
    if password and not from_stdin:
        click.echo(f"Password, shown this once: {password}")


@command.command("list")
@in_workspace
@json_option
def list_(workspace: str, as_json: bool) -> None:
    """List the members of the workspace."""
    with connected():
        from models import user

        found = user.members(workspace_id(workspace))
    if as_json:
        show_json({"members": [named(one) for one in found]})
        return
    shown = [[one["email"], one["name"], one["role"], one["created_at"]] for one in found]
    show_table(("e-mail", "name", "role", "since (UTC)"), shown, "Nobody. `beckon user add EMAIL` lets somebody in.")


@command.command()
@click.argument("email")
@_stdin
def password(email: str, from_stdin: bool) -> None:
    """Give the person with this EMAIL a new password, in every workspace, and end all their sessions."""
    with connected():
        from models import user

        user_id = user.id_of(email)
        if user_id is None:
            raise Refused("There is nobody with that e-mail.")
        new = _password(from_stdin)
        user.set_password(user_id, new)
    click.echo("The password is changed." if from_stdin else f"Password, shown this once: {new}")


@command.command()
@click.argument("email")
@in_workspace
def remove(email: str, workspace: str) -> None:
    """Take the person with this EMAIL out of the workspace and end their sessions there."""
    with connected():
        from models import membership

        membership.remove(workspace_id(workspace), email, actor())
    click.echo(f"{email} is no member any more.")
