"""The credentials that a workspace enters for its own accounts at providers, by the name of the setting.

Each wins over the environment's. Values are stored encrypted; of a long secret its last characters are kept as a hint.
Programs read `load_cached`, which is at most `models.recent_reads.MAX_AGE_SECONDS` old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from models.database import acting_as
from models.encryption import encrypt
from models.expressions import now
from models.queries import execute, fetch
from models.recent_reads import RecentReads
from models.tables import ChannelCredential


@dataclass(frozen=True)
class StoredCredential:
    """One setting of a workspace; `value` is encrypted."""

    name: str
    value: str
    hint: str
    updated_at: datetime

    def __repr__(self) -> str:
        return f"StoredCredential({self.name!r})"


#: A workspace's settings by name.
Credentials = dict[str, StoredCredential]


def load(workspace_id: str) -> Credentials:
    """Return the workspace's own settings."""
    row = ChannelCredential
    query = row.select(row.name, row.value, row.hint, row.updated_at).where(row.workspace_id == workspace_id)
    with acting_as(workspace_id, with_first=True):
        return {stored.name: stored for stored in fetch(StoredCredential, query.order_by(row.name))}


#: `load` with a short cache.
load_cached = RecentReads(load)


def change(workspace_id: str, changes: Mapping[str, str | None], hints: Mapping[str, str], secret_key: str) -> None:
    """Store these settings in the caller's transaction; None deletes one, whose place the environment's value takes."""
    row = ChannelCredential
    with acting_as(workspace_id):
        for name, text in changes.items():
            if text is None:
                execute(row.delete().where(row.workspace_id == workspace_id, row.name == name))
            else:
                _store(workspace_id, name, encrypt(secret_key, text), hints.get(name, ""))
    load_cached.forget(workspace_id)


def _store(workspace_id: str, name: str, value: str, hint: str) -> None:
    row = ChannelCredential
    execute(
        row.insert(workspace_id=workspace_id, name=name, value=value, hint=hint).on_conflict(
            conflict_target=[row.workspace_id, row.name],
            preserve=[row.value, row.hint],
            update={row.updated_at: now()},
        )
    )
