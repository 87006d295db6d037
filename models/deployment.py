"""When Beckon was deployed: the starts of schedulers, by version.

A deployment belongs to no workspace, so it is no entry of the audit log, which is each workspace's own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

from models.database import connection, transaction
from models.expressions import now
from models.ids import new_id
from models.queries import execute, exists, fetch
from models.tables import Deployment

#: Schedulers that start with the same version within this time belong to one deployment.
TOGETHER = timedelta(minutes=5)


class DeploymentRow(TypedDict):
    """A deployment."""

    version: str
    started_at: datetime


def record(version: str) -> bool:
    """Record the start of a scheduler; return whether it is a new deployment."""
    recent = Deployment.select(Deployment.id).where(
        Deployment.version == version, Deployment.started_at > now() - TOGETHER
    )
    with transaction():
        if exists(recent):
            return False
        execute(Deployment.insert(id=new_id(), version=version))
    return True


def list_since(since: datetime, limit: int) -> list[DeploymentRow]:
    """Return the newest deployments after `since`, newest first."""
    query = Deployment.select(Deployment.version, Deployment.started_at).where(Deployment.started_at >= since)
    with connection():
        return fetch(DeploymentRow, query.order_by(Deployment.started_at.desc()).limit(limit))
