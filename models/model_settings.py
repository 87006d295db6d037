"""A workspace's own AI model settings; fields that it leaves out use the environment's values.

The key is stored encrypted and never shown. Workers read `load_cached`, which is at most
`models.recent_reads.MAX_AGE_SECONDS` old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models import audit
from models.audit import Actor
from models.database import acting_as, execute, fetch_row
from models.encryption import encrypt
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


NAMES = ("provider", "model", "max_tokens", "temperature", "base_url", "api_key")


def load(workspace_id: str) -> ModelSettings:
    """Return the workspace's current settings."""
    with acting_as(workspace_id):
        row = fetch_row(f"select {', '.join(NAMES)} from model_settings where workspace_id = %s", (workspace_id,))
    return ModelSettings(**row) if row else ModelSettings()


#: `load` with a short cache.
load_cached = RecentReads(load)


def change(workspace_id: str, changes: Mapping[str, Any], actor: Actor, secret_key: str) -> ModelSettings:
    """Set the named fields; None clears one. The audit log has the names of the fields, never the key."""
    values = dict(changes)
    if values.get("api_key"):
        values["api_key"] = encrypt(secret_key, values["api_key"])
    names = [name for name in NAMES if name in values]
    with acting_as(workspace_id):
        if names:
            execute(
                f"insert into model_settings (workspace_id, {', '.join(names)}) "
                f"values (%s, {', '.join('%s' for _ in names)}) on conflict (workspace_id) do update set "
                f"{', '.join(f'{name} = excluded.{name}' for name in names)}, updated_at = beckon_now()",
                (workspace_id, *(values[name] for name in names)),
            )
            audit.record(workspace_id, actor, "model.changed", "settings", "model", {"fields": names})
        current = load(workspace_id)
    load_cached.forget(workspace_id)
    return current
