"""`beckon workspace`: the tenants of this deployment."""

from __future__ import annotations

from typing import Any

import click

from workers.commands.user import email_address
from workers.terminal import Refused, actor, connected, named, printable, show_json, show_table, when
from workers.terminal import as_json as json_option

#: The name of the key that a new workspace begins with.
KEY_NAME = "First key"


@click.group()
def command() -> None:
    """Create and list workspaces. Each has its own members, keys, contacts and automations."""


@command.command()
@click.argument("slug")
@click.option("--name", default="", help="The name on the pages; the slug without it.")
@click.option("--owner", callback=email_address, help="E-mail address of a first owner, who is invited.")
@json_option
def create(slug: str, name: str, owner: str | None, as_json: bool) -> None:
    """Create the workspace SLUG with an API key of all scopes, and invite its owner.

    The key and the invitation's link are shown this once; Beckon stores only their hashes.
    """
    from rules.slugs import slug_fault

    fault = slug_fault(slug)
    if fault:
        raise Refused(f'the slug "{printable(slug)}" {fault}')
    with connected() as settings:
        created = _created(slug, printable(name).strip()[:200] or slug, owner)
        url = _link(settings, created["invitation"])
    if as_json:
        show_json({"workspaceId": created["id"], "apiKey": created["secret"], "invitationUrl": url})
        return
    click.echo(f"Workspace {slug} is created: {created['id']}\nAPI key, shown this once: {created['secret']}")
    if url:
        expires_at = when(created["invitation"].expires_at)
        click.echo(f"Invitation of {owner}, works once until {expires_at} UTC: {url}")


def _created(slug: str, name: str, owner: str | None) -> dict[str, Any]:
    """The workspace, its key and its owner's invitation, all or none."""
    from models import api_key, audit, invitation, workspace
    from models.database import transaction

    with transaction():
        workspace_id = workspace.create(slug, name)
        audit.record(workspace_id, actor(), "workspace.created", "workspace", workspace_id, {"slug": slug})
        key = api_key.issue(workspace_id, KEY_NAME)
        detail = {"name": KEY_NAME, "scopes": list(api_key.SCOPES)}
        audit.record(workspace_id, actor(), "key.issued", "key", key.id, detail)
        invited = invitation.create(workspace_id, owner, "owner", actor()) if owner else None
    return {"id": workspace_id, "secret": key.secret, "invitation": invited}


def _link(settings: Any, invited: Any) -> str | None:
    from tasks.invitations import link

    return link(settings, invited.shown_token) if invited else None


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the workspaces, oldest first."""
    with connected():
        from models import workspace

        workspaces = workspace.every()
    if as_json:
        show_json({"workspaces": [named(row) for row in workspaces]})
        return
    lines = [[row["slug"], row["name"], row["id"], row["created_at"]] for row in workspaces]
    show_table(("slug", "name", "id", "created (UTC)"), lines, "No workspaces yet. `beckon workspace create SLUG`")
