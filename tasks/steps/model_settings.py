"""Resolves a workspace's model settings: the workspace overrides the environment, and a step overrides both.

The workspace's values replace fields of the settings, so that every reader gets the right provider, model, key and
base URL. A key that was not entered for it is never sent to a base URL that a workspace has set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from models import model_settings
from models.encryption import decrypt
from models.model_settings import ModelSettings
from providers.base import Account
from settings import Settings
from tasks.steps.workspace_settings import resolve_workspace_settings


@dataclass(frozen=True)
class EffectiveModelSettings:
    """The settings for a workspace's generations: the settings with its overrides, and its defaults."""

    settings: Settings
    max_tokens: int | None = None
    temperature: float | None = None
    #: Whether the workspace has set the base URL, which then must not lead into a private network.
    own_address: bool = False

    def guard(self, account: Account) -> Account:
        """Return the account, guarded against private networks where the workspace has set the base URL."""
        return replace(account, guarded=True) if self.own_address and account.provider == "openai" else account


def resolve_model_settings(settings: Settings, workspace_id: str, *, fresh: bool = False) -> EffectiveModelSettings:
    """Return the workspace's effective settings, perhaps cached for some seconds; `fresh` reads them anew."""
    if fresh:
        model_settings.load_cached.forget(workspace_id)
    settings = resolve_workspace_settings(settings, workspace_id, fresh=fresh)
    own = model_settings.load_cached(workspace_id)
    if own == ModelSettings():
        return EffectiveModelSettings(settings)
    return EffectiveModelSettings(
        settings.replace(**_build_overrides(settings, own)), own.max_tokens, own.temperature, own.base_url is not None
    )


def _build_overrides(settings: Settings, own: ModelSettings) -> dict[str, Any]:
    """Build the fields of the settings that the workspace overrides."""
    provider = own.provider
    if provider is None:
        return {}
    overrides: dict[str, Any] = {"ai_provider": provider}
    if own.model:
        overrides[f"{provider}_model"] = own.model
    if own.base_url:
        # A key belongs to its base URL: at its own, the workspace could read any other.
        overrides.update(openai_base_url=own.base_url, openai_api_key="")
    key = decrypt(settings.secret_key, own.api_key) if own.api_key else None
    if key:
        overrides[f"{provider}_api_key"] = key
    return overrides
