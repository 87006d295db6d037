"""`beckon workspace`: the workspaces of this deployment."""

from __future__ import annotations

from typing import Any

import click

from workers.commands.user import parse_email
from workers.console import (
    CommandError,
    connect,
    current_actor,
    format_time,
    sanitize_text,
    show_json,
    show_table,
    to_api_names,
)
from workers.console import as_json as json_option

#: Name of a new workspace's first key.
KEY_NAME = "First key"


@click.group()
def command() -> None:
    """Create and list workspaces. Each has its own members, keys, contacts and automations."""


@command.command()
@click.argument("slug")
@click.option("--name", default="", help="Display name. Without it: the slug.")
@click.option("--owner", callback=parse_email, help="E-mail address of the first owner, who is invited.")
@json_option
def create(slug: str, name: str, owner: str | None, as_json: bool) -> None:
    """Create the workspace SLUG with an API key of all scopes, and invite its owner.

    The key and the invitation's link are shown only once; Beckon stores only their hashes.
    """
    from rules.slugs import check_slug

    fault = check_slug(slug)
    if fault:
        raise CommandError(f'the slug "{sanitize_text(slug)}" {fault}')
    with connect() as settings:
        created = _create_workspace(slug, sanitize_text(name).strip()[:200] or slug, owner)
        url = _build_link(settings, created["invitation"])
    if as_json:
        show_json({"workspaceId": created["id"], "apiKey": created["secret"], "invitationUrl": url})
        return
    click.echo(f"Workspace {slug} is created: {created['id']}\nAPI key, shown only once: {created['secret']}")
    if url:
        expires_at = format_time(created["invitation"].expires_at)
        click.echo(f"Invitation of {owner}, valid once, until {expires_at} UTC: {url}")


def _create_workspace(slug: str, name: str, owner: str | None) -> dict[str, Any]:
    """Create the workspace, its key and its owner's invitation in one transaction."""
    from models import api_key, audit, invitation, workspace
    from models.database import transaction

    with transaction():
        workspace_id = workspace.create(slug, name)
        audit.record(workspace_id, current_actor(), "workspace.created", "workspace", workspace_id, {"slug": slug})
        key = api_key.issue(workspace_id, KEY_NAME)
        detail = {"name": KEY_NAME, "scopes": list(api_key.SCOPES)}
        audit.record(workspace_id, current_actor(), "key.issued", "key", key.id, detail)
        invited = invitation.create(workspace_id, owner, "owner", current_actor()) if owner else None
    return {"id": workspace_id, "secret": key.secret, "invitation": invited}


def _build_link(settings: Any, invited: Any) -> str | None:
    from tasks.operators.invitations import build_link

    return build_link(settings, invited.shown_token) if invited else None


@command.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the workspaces, oldest first."""
    with connect():
        from models import workspace

        workspaces = workspace.list_all()
    if as_json:
        show_json({"workspaces": [to_api_names(row) for row in workspaces]})
        return
    lines = [[row["slug"], row["name"], row["id"], row["created_at"]] for row in workspaces]
    show_table(
        ("slug", "name", "id", "created (UTC)"), lines, "No workspaces yet. `beckon workspace create SLUG` creates one."
    )
