"""`beckon key`: API keys for programs."""

from __future__ import annotations

from typing import Any

import click

from workers.console import (
    CommandError,
    connect,
    current_actor,
    find_workspace_id,
    in_workspace,
    show_json,
    show_table,
    to_api_names,
)
from workers.console import as_json as json_option

SCOPES = ("trigger", "track", "read", "write", "admin")


@click.group()
def command() -> None:
    """Issue and revoke API keys. A key's secret is shown only once; Beckon stores its hash."""


@command.command()
@click.argument("name")
@in_workspace
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    help="Scope of the key, repeatable. Without it: all scopes.",
)
@click.option(
    "--deployment-owner", is_flag=True, help="Allow the key to see hosts, processes and the queues of all workspaces."
)
@json_option
def create(name: str, workspace: str, scopes: tuple[Any, ...], deployment_owner: bool, as_json: bool) -> None:
    """Issue a key called NAME. A program sends it as `Authorization: Bearer …`."""
    with connect():
        from models import api_key, audit
        from models.database import acting_as

        workspace_id, granted = find_workspace_id(workspace), scopes or SCOPES
        with acting_as(workspace_id):
            key = api_key.issue(workspace_id, name, granted, deployment_owner=deployment_owner)
            detail = {"name": name, "scopes": sorted(granted)}
            audit.record(workspace_id, current_actor(), "key.issued", "key", key.id, detail)
    if as_json:
        show_json({"id": key.id, "name": name, "scopes": sorted(granted), "secret": key.secret})
        return
    click.echo(f"{key.secret}\nThe secret is shown only once. The key's id is {key.id}.")


@command.command("list")
@in_workspace
@json_option
def list_(workspace: str, as_json: bool) -> None:
    """List all keys, including revoked keys, newest first."""
    with connect():
        from models import api_key

        rows = api_key.list_all(find_workspace_id(workspace))
    if as_json:
        show_json({"keys": [to_api_names(row) for row in rows]})
        return
    lines = [
        [row["id"], row["name"], f"{row['prefix']}…", " ".join(row["scopes"]), row["last_used_at"], row["revoked_at"]]
        for row in rows
    ]
    headings = ("id", "name", "secret", "scopes", "last used (UTC)", "revoked (UTC)")
    show_table(headings, lines, "No keys yet. `beckon key create NAME` issues one.")


@command.command()
@click.argument("key_id", metavar="ID")
@in_workspace
def revoke(key_id: str, workspace: str) -> None:
    """Revoke the key ID. Requests with its secret are refused immediately."""
    with connect():
        from models import api_key, audit
        from models.database import acting_as
        from models.ids import is_id

        workspace_id = find_workspace_id(workspace)
        with acting_as(workspace_id):
            if not is_id(key_id) or not api_key.revoke(workspace_id, key_id):
                raise CommandError("There is no live key with that id.")
            audit.record(workspace_id, current_actor(), "key.revoked", "key", key_id)
    click.echo("The key is revoked.")
