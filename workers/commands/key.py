"""`beckon key`: the secrets with which programs speak to the API."""

from __future__ import annotations

from typing import Any

import click

from workers.terminal import Refused, actor, connected, in_workspace, named, show_json, show_table, workspace_id
from workers.terminal import as_json as json_option

SCOPES = ("trigger", "track", "read", "write", "admin")


@click.group()
def command() -> None:
    """Issue and revoke API keys. A key's secret is shown once; what is kept is only its hash."""


@command.command()
@click.argument("name")
@in_workspace
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, help="What it may do; all without it.")
@click.option("--deployment-owner", is_flag=True, help="Let it see hosts, processes and all workspaces' queues.")
@json_option
def create(name: str, workspace: str, scopes: tuple[Any, ...], deployment_owner: bool, as_json: bool) -> None:
    """Issue a key called NAME, for a program to send as `Authorization: Bearer …`."""
    with connected():
        from models import api_key, audit
        from models.database import acting_as

        found, granted = workspace_id(workspace), scopes or SCOPES
        with acting_as(found):
            issued = api_key.issue(found, name, granted, deployment_owner=deployment_owner)
            detail = {"name": name, "scopes": sorted(granted)}
            audit.record(found, actor(), "key.issued", "key", issued.id, detail)
    if as_json:
        show_json({"id": issued.id, "name": name, "scopes": sorted(granted), "secret": issued.secret})
        return
    click.echo(f"{issued.secret}\nThis is the only time that it is shown. Its id is {issued.id}.")


@command.command("list")
@in_workspace
@json_option
def list_(workspace: str, as_json: bool) -> None:
    """List keys, newest first, revoked ones too."""
    with connected():
        from models import api_key

        found = api_key.every(workspace_id(workspace))
    if as_json:
        show_json({"keys": [named(one) for one in found]})
        return
    shown = [
        [one["id"], one["name"], f"{one['prefix']}…", " ".join(one["scopes"]), one["last_used_at"], one["revoked_at"]]
        for one in found
    ]
    headings = ("id", "name", "secret", "scopes", "last used (UTC)", "revoked (UTC)")
    show_table(headings, shown, "No key. `beckon key create NAME` issues one.")


@command.command()
@click.argument("key_id", metavar="ID")
@in_workspace
def revoke(key_id: str, workspace: str) -> None:
    """End the key ID at once: its secret is refused from now on."""
    with connected():
        from models import api_key, audit
        from models.database import acting_as
        from models.ids import is_id

        found = workspace_id(workspace)
        with acting_as(found):
            if not is_id(key_id) or not api_key.revoke(found, key_id):
                raise Refused("There is no live key by that id.")
            audit.record(found, actor(), "key.revoked", "key", key_id)
    click.echo("The key is revoked.")
