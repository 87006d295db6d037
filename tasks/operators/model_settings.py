"""Which model writes for a workspace: a step's own words before the workspace's, and these before the environment's.

What the workspace says is laid over the settings, so that whoever asks these for a provider, a model, a key or an
address gets the right one. A key of the environment never goes to an address that a workspace wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models import model_settings, pause
from models.audit import Actor
from models.database import acting_as
from models.encryption import decrypt
from models.model_settings import ModelSettings
from providers.base import Account
from rules.channels import TEXT_PROVIDERS
from rules.outbound_urls import check_url
from rules.problems import Problem
from settings import Settings
from tasks.runtime.notifications import notify_after_commit


@dataclass(frozen=True)
class EffectiveModelSettings:
    """What a workspace's texts are written with: the settings with its own words laid over them, and its defaults."""

    settings: Settings
    max_tokens: int | None = None
    temperature: float | None = None
    #: Whether the address is the workspace's, and so must not lead into a private network.
    own_address: bool = False

    def guard(self, account: Account) -> Account:
        """The account, kept from private networks where its address is the workspace's."""
        return replace(account, guarded=True) if self.own_address and account.provider == "openai" else account


def resolve_model_settings(settings: Settings, workspace_id: str) -> EffectiveModelSettings:
    """As of a moment ago."""
    own = model_settings.load_cached(workspace_id)
    if own == ModelSettings():
        return EffectiveModelSettings(settings)
    return EffectiveModelSettings(
        replace(settings, **_build_overrides(settings, own)), own.max_tokens, own.temperature, own.base_url is not None
    )


def _build_overrides(settings: Settings, own: ModelSettings) -> dict[str, Any]:
    """The settings' fields that the workspace's words replace."""
    provider = own.provider
    if provider is None:
        return {}
    overrides: dict[str, Any] = {"ai_provider": provider}
    if own.model:
        overrides[f"{provider}_model"] = own.model
    if own.base_url:
        # Whoever wrote the address could read what is sent there.
        overrides.update(openai_base_url=own.base_url, openai_api_key="")
    key = decrypt(settings.secret_key, own.api_key) if own.api_key else None
    if key:
        overrides[f"{provider}_api_key"] = key
    return overrides


def change(settings: Settings, workspace_id: str, changes: Mapping[str, Any], actor: Actor) -> ModelSettings:
    """Change what a workspace says; what waited for other credentials goes on.

    A key is for the provider and the address that it was given with: with another one it is forgotten, and so is a
    model's name with another provider.
    """
    fields = {**_find_cleared_fields(model_settings.load(workspace_id), changes), **changes}
    updated = model_settings.change(workspace_id, fields, actor, settings.secret_key)
    with acting_as(workspace_id):
        for provider in TEXT_PROVIDERS:
            notify_after_commit(pause.resume_after_credentials(provider, workspace_id))
    return updated


def find_problems(settings: Settings, workspace_id: str, changes: Mapping[str, Any]) -> list[Problem]:
    """What does not go together once `wanted` is so; nothing where it may be changed."""
    before = model_settings.load(workspace_id)
    merged = replace(before, **{**_find_cleared_fields(before, changes), **changes})
    if merged.provider is None and (merged.model or merged.api_key or merged.base_url):
        return [Problem("provider", "is required with a model, a key or an address")]
    if merged.provider == "gemini" and merged.base_url:
        return [Problem("baseUrl", "is for an OpenAI-compatible API alone")]
    base_url = changes.get("base_url")
    fault = check_url(base_url, settings.webhook_allowed_networks) if base_url else None
    return [Problem("baseUrl", fault)] if fault else []


def _find_cleared_fields(before: ModelSettings, changes: Mapping[str, Any]) -> dict[str, None]:
    if "provider" in changes and changes["provider"] != before.provider:
        return {"model": None, "base_url": None, "api_key": None}
    if "base_url" in changes and changes["base_url"] != before.base_url:
        return {"api_key": None}
    return {}


def serialize(own: ModelSettings) -> dict[str, Any]:
    """What people and programs may see of it: whether there is a key, never which."""
    return {
        "provider": own.provider,
        "model": own.model,
        "maxTokens": own.max_tokens,
        "temperature": own.temperature,
        "baseUrl": own.base_url,
        "hasApiKey": own.api_key is not None,
    }
