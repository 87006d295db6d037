"""Which model writes a workspace's texts: the fields that it sets itself; what it leaves out is the environment's.

The key is stored sealed and never shown. Workers read `seen`, which is at most `models.recent_reads.SEEN_AFTER_SECONDS`
old.
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
    """What a workspace says; None is left to the environment. `api_key` is sealed."""

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
    """What the workspace says now."""
    with acting_as(workspace_id):
        row = fetch_row(f"select {', '.join(NAMES)} from model_settings where workspace_id = %s", (workspace_id,))
    return ModelSettings(**row) if row else ModelSettings()


#: The same, from a moment ago.
load_cached = RecentReads(load)


def change(workspace_id: str, changes: Mapping[str, Any], actor: Actor, secret_key: str) -> ModelSettings:
    """Set the named fields, None clearing them; which were named is logged, the key itself never."""
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
