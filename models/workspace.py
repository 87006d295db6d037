"""Workspaces, the tenants. They are created with the `beckon` command, never over HTTP, so only the service may add
one."""

from __future__ import annotations

from models.database import Row, acting_as, execute, fetch_row, fetch_rows, fetch_value, transaction
from models.errors import Conflict
from models.ids import new_id

_COLUMNS = "id, slug, name, timezone, demo, created_at"


def create(slug: str, name: str, *, timezone: str = "UTC", demo: bool = False) -> str:
    """Create a workspace; return its id. `timezone` is an IANA name. Needs the service's or the owner's connection.

    Raises `Conflict` if the slug is taken.
    """
    workspace_id = new_id()
    with transaction():
        inserted = execute(
            "insert into workspaces (id, slug, name, timezone, demo) values (%s, %s, %s, %s, %s) "
            "on conflict (slug) do nothing",
            (workspace_id, slug, name, timezone, demo),
        )
    if not inserted:
        raise Conflict(f'The slug "{slug}" is already taken by another workspace.', "slug")
    return workspace_id


def get(workspace_id: str) -> Row | None:
    """Return one workspace: id, slug, name, timezone, demo, created_at."""
    with acting_as(workspace_id):
        return fetch_row(f"select {_COLUMNS} from workspaces where id = %s", (workspace_id,))


def find_by_slug(slug: str) -> Row | None:
    """Return a workspace by its slug. The service finds every workspace; the dashboard finds none this way."""
    with transaction():
        return fetch_row(f"select {_COLUMNS} from workspaces where slug = %s", (slug,))


def is_demo(workspace_id: str) -> bool:
    """Return whether it is the demo workspace, which sends to the sandbox. The service sees every workspace."""
    return bool(fetch_value("select demo from workspaces where id = %s", (workspace_id,)))


def list_all() -> list[Row]:
    """Return all workspaces, oldest first. The service sees them all."""
    with transaction():
        return fetch_rows(f"select {_COLUMNS} from workspaces order by id")
