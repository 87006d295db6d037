"""Which version of a workspace's secret for outgoing webhooks is current, and until when the one before it is valid.

The secrets themselves are not stored: they are derived from the deployment's key, the workspace and the version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from models import audit
from models.audit import AuditActor
from models.database import acting_as
from models.errors import NotFound
from models.expressions import now
from models.queries import execute, fetch_first
from models.recent_reads import RecentReads
from models.tables import Workspace

#: How long receivers may keep the secret before the current one.
OVERLAP = timedelta(hours=24)


@dataclass(frozen=True)
class SecretVersion:
    """The current version; `rotated_at` is None for a workspace's first."""

    version: int
    rotated_at: datetime | None

    def previous_until(self, at: datetime) -> datetime | None:
        """Return until when the version before is valid; None if it is not at that time."""
        if self.rotated_at is None or self.rotated_at + OVERLAP <= at:
            return None
        return self.rotated_at + OVERLAP


def load(workspace_id: str) -> SecretVersion:
    """Return the workspace's version. Raises `NotFound`."""
    query = Workspace.select(
        Workspace.webhook_secret_version.alias("version"), Workspace.webhook_secret_rotated_at.alias("rotated_at")
    )
    with acting_as(workspace_id):
        row = fetch_first(SecretVersion, query.where(Workspace.id == workspace_id))
    if row is None:
        raise NotFound("There is no such workspace.")
    return row


#: `load` with a short cache.
load_cached = RecentReads(load)


def rotate(workspace_id: str, actor: AuditActor) -> SecretVersion:
    """Begin the next version."""
    update = Workspace.update(
        webhook_secret_version=Workspace.webhook_secret_version + 1, webhook_secret_rotated_at=now()
    )
    with acting_as(workspace_id):
        execute(update.where(Workspace.id == workspace_id))
        audit.record(workspace_id, actor, "webhook_secret.rotated", "settings", "webhook_secret", {})
    load_cached.forget(workspace_id)
    return load(workspace_id)
