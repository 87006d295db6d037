"""Resolves a workspace's model settings: the workspace overrides the environment, and a step overrides both.

The workspace's values replace fields of the settings, so that every reader gets the right provider, model, key and
base URL. A key of the environment is never sent to a base URL that a workspace has set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from models import model_settings, pause
from models.audit import AuditActor
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
    """The settings for a workspace's generations: the settings with its overrides, and its defaults."""

    settings: Settings
    max_tokens: int | None = None
    temperature: float | None = None
    #: Whether the workspace has set the base URL, which then must not lead into a private network.
    own_address: bool = False

    def guard(self, account: Account) -> Account:
        """Return the account, guarded against private networks where the workspace has set the base URL."""
        return replace(account, guarded=True) if self.own_address and account.provider == "openai" else account


def resolve_model_settings(settings: Settings, workspace_id: str) -> EffectiveModelSettings:
    """Return the workspace's effective settings; they may be cached for some seconds."""
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
        # The workspace could read the environment's key at its own base URL.
        overrides.update(openai_base_url=own.base_url, openai_api_key="")
    key = decrypt(settings.secret_key, own.api_key) if own.api_key else None
    if key:
        overrides[f"{provider}_api_key"] = key
    return overrides


def change(settings: Settings, workspace_id: str, changes: Mapping[str, Any], actor: AuditActor) -> ModelSettings:
    """Change a workspace's model settings; executions that wait for other credentials continue.

    A key belongs to its provider and base URL: changing either removes it. Changing the provider also clears the model.
    """
    fields = {**_find_cleared_fields(model_settings.load(workspace_id), changes), **changes}
    updated = model_settings.change(workspace_id, fields, actor, settings.secret_key)
    with acting_as(workspace_id):
        for provider in TEXT_PROVIDERS:
            notify_after_commit(pause.resume_after_credentials(provider, workspace_id))
    return updated


def find_problems(settings: Settings, workspace_id: str, changes: Mapping[str, Any]) -> list[Problem]:
    """Return the problems that `changes` would cause; empty where they are allowed."""
    before = model_settings.load(workspace_id)
    merged = replace(before, **{**_find_cleared_fields(before, changes), **changes})
    if merged.provider is None and (merged.model or merged.api_key or merged.base_url):
        return [Problem("provider", "is required with a model, a key or a base URL")]
    if merged.provider == "gemini" and merged.base_url:
        return [Problem("baseUrl", "is only for an OpenAI-compatible server")]
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
    """Serialize the settings for people and programs, with whether there is a key and never the key."""
    return {
        "provider": own.provider,
        "model": own.model,
        "maxTokens": own.max_tokens,
        "temperature": own.temperature,
        "baseUrl": own.base_url,
        "hasApiKey": own.api_key is not None,
    }
