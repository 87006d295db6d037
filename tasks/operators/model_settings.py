"""Changes a workspace's model settings: checks them, stores them, and wakes the executions that waited for them.

`tasks.steps.model_settings` resolves the settings for a generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from models import model_settings, pause
from models.audit import AuditActor
from models.database import acting_as
from models.model_settings import ModelSettings
from rules.channels import TEXT_PROVIDERS
from rules.outbound_urls import check_url
from rules.problems import Problem
from settings import Settings
from tasks.runtime.notifications import notify_after_commit


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
