"""Providers that refuse look-ups of a workspace's messages: the credentials may send, but not read.

The caller acts as the workspace, or as the service.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from models.database import acting_as
from models.expressions import now
from models.queries import execute, fetch
from models.tables import LookUpRefusal


class LookUpRefusalRow(TypedDict):
    """A refusal, with the fingerprint of the credentials that were refused, and since when."""

    provider: str
    message: str
    credentials_fingerprint: str
    refused_at: datetime


def record(workspace_id: str, provider: str, message: str, credentials_fingerprint: str) -> None:
    """Record a refusal; its time stays that of the first one since an answer, with the same credentials."""
    values = {
        LookUpRefusal.message: message,
        LookUpRefusal.credentials_fingerprint: credentials_fingerprint,
        LookUpRefusal.refused_at: now(),
    }
    key = {LookUpRefusal.workspace_id: workspace_id, LookUpRefusal.provider: provider}
    execute(
        LookUpRefusal.insert({**key, **values}).on_conflict(
            conflict_target=(LookUpRefusal.workspace_id, LookUpRefusal.provider),
            update=values,
            where=LookUpRefusal.credentials_fingerprint != credentials_fingerprint,
        )
    )


def end(workspace_id: str, provider: str) -> None:
    """Remove the refusal of a provider that answered."""
    execute(
        LookUpRefusal.delete().where(LookUpRefusal.workspace_id == workspace_id, LookUpRefusal.provider == provider)
    )


def list_all(workspace_id: str) -> list[LookUpRefusalRow]:
    """Return a workspace's refusals, by provider."""
    query = LookUpRefusal.select(
        LookUpRefusal.provider, LookUpRefusal.message, LookUpRefusal.credentials_fingerprint, LookUpRefusal.refused_at
    )
    with acting_as(workspace_id):
        return fetch(
            LookUpRefusalRow,
            query.where(LookUpRefusal.workspace_id == workspace_id).order_by(LookUpRefusal.provider),
        )
