"""A workspace's own AI model settings; fields that it leaves out use the environment's values.

The key is stored encrypted and never shown. Workers read `load_cached`, which is at most
`models.recent_reads.MAX_AGE_SECONDS` old.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models import audit, tables
from models.audit import AuditActor
from models.database import acting_as
from models.encryption import encrypt
from models.expressions import now
from models.queries import execute, fetch_first
from models.recent_reads import RecentReads


@dataclass(frozen=True)
class ModelSettings:
    """A workspace's own settings; None uses the environment's value. `api_key` is encrypted."""

    provider: str | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    base_url: str | None = None
    api_key: str | None = None

    def __repr__(self) -> str:
        return f"ModelSettings({self.provider!r}, {self.model!r})"


#: What the audit log has in place of a key.
KEY_MASK = "••••"

NAMES = ("provider", "model", "max_tokens", "temperature", "base_url", "api_key")


def load(workspace_id: str) -> ModelSettings:
    """Return the workspace's current settings."""
    stored = tables.ModelSettings
    query = stored.select(
        stored.provider, stored.model, stored.max_tokens, stored.temperature, stored.base_url, stored.api_key
    )
    with acting_as(workspace_id):
        return fetch_first(ModelSettings, query.where(stored.workspace_id == workspace_id)) or ModelSettings()


#: `load` with a short cache.
load_cached = RecentReads(load)


def change(workspace_id: str, changes: Mapping[str, Any], actor: AuditActor, secret_key: str) -> ModelSettings:
    """Set the named fields; None clears one. The audit log has the fields before and after, and never the key."""
    values = {name: changes[name] for name in NAMES if name in changes}
    if values.get("api_key"):
        values["api_key"] = encrypt(secret_key, values["api_key"])
    with acting_as(workspace_id):
        if values:
            before = _describe(load(workspace_id), values)
            _store(workspace_id, values)
            after = _describe(load(workspace_id), values)
            # A new key looks like the old one here, and is a change.
            detail = {"before": before, "after": after}
            audit.record(workspace_id, actor, "model.changed", "settings", "model", detail)
        current = load(workspace_id)
    load_cached.forget(workspace_id)
    return current


def _describe(stored: ModelSettings, names: Iterable[str]) -> dict[str, Any]:
    """The fields as the audit log has them: of the key only whether there is one."""
    fields = {name: getattr(stored, name) for name in names}
    return {name: (value and KEY_MASK) if name == "api_key" else value for name, value in fields.items()}


def _store(workspace_id: str, values: Mapping[str, Any]) -> None:
    stored = tables.ModelSettings
    execute(
        stored.insert(workspace_id=workspace_id, **values).on_conflict(
            conflict_target=[stored.workspace_id],
            preserve=[getattr(stored, name) for name in values],
            update={stored.updated_at: now()},
        )
    )
