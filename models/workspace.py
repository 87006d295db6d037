"""Workspaces, the tenants. They are created with the `beckon` command, never over HTTP, so only the service may add
one."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from models.database import acting_as, transaction
from models.errors import Conflict
from models.ids import new_id
from models.queries import execute, fetch, fetch_first, fetch_value
from models.tables import Workspace

_COLUMNS = (
    Workspace.id, Workspace.slug, Workspace.name, Workspace.timezone, Workspace.demo, Workspace.created_at,
)  # fmt: skip


class WorkspaceRow(TypedDict):
    """A workspace."""

    id: str
    slug: str
    name: str
    timezone: str
    demo: bool
    created_at: datetime


def create(slug: str, name: str, *, timezone: str = "UTC", demo: bool = False) -> str:
    """Create a workspace; return its id. `timezone` is an IANA name. Needs the service's or the owner's connection.

    Raises `Conflict` if the slug is taken.
    """
    workspace_id = new_id()
    with transaction():
        inserted = execute(
            Workspace.insert(id=workspace_id, slug=slug, name=name, timezone=timezone, demo=demo).on_conflict(
                action="ignore", conflict_target=[Workspace.slug]
            )
        )
    if not inserted:
        raise Conflict(f'The slug "{slug}" is already taken by another workspace.', "slug")
    return workspace_id


def get(workspace_id: str) -> WorkspaceRow | None:
    """Return one workspace."""
    with acting_as(workspace_id):
        return fetch_first(WorkspaceRow, Workspace.select(*_COLUMNS).where(Workspace.id == workspace_id))


def find_by_slug(slug: str) -> WorkspaceRow | None:
    """Return a workspace by its slug. The service finds every workspace; the dashboard finds none this way."""
    with transaction():
        return fetch_first(WorkspaceRow, Workspace.select(*_COLUMNS).where(Workspace.slug == slug))


def is_demo(workspace_id: str) -> bool:
    """Return whether it is the demo workspace, which sends to the sandbox. The service sees every workspace."""
    return bool(fetch_value(Workspace.select(Workspace.demo).where(Workspace.id == workspace_id)))


def list_all() -> list[WorkspaceRow]:
    """Return all workspaces, oldest first. The service sees them all."""
    with transaction():
        return fetch(WorkspaceRow, Workspace.select(*_COLUMNS).order_by(Workspace.id))
