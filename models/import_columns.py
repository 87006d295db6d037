"""What the columns of imported files of contacts become: remembered for the workspace's next import."""

from __future__ import annotations

from collections.abc import Mapping

from models.database import acting_as
from models.errors import NotFound
from models.queries import execute, fetch_value
from models.tables import Workspace

#: Names of columns that a workspace remembers; an import with more of them forgets the others.
MAX_NAMES = 500


def load(workspace_id: str) -> dict[str, str]:
    """Return what columns become, by their names. Raises `NotFound`."""
    with acting_as(workspace_id):
        columns: dict[str, str] | None = fetch_value(
            Workspace.select(Workspace.import_columns).where(Workspace.id == workspace_id)
        )
    if columns is None:
        raise NotFound("There is no such workspace.")
    return columns


def remember(workspace_id: str, columns: Mapping[str, str]) -> None:
    """Remember these columns beside those of earlier imports."""
    with acting_as(workspace_id):
        merged = {**load(workspace_id), **columns}
        kept = merged if len(merged) <= MAX_NAMES else dict(columns)
        execute(Workspace.update(import_columns=kept).where(Workspace.id == workspace_id))
