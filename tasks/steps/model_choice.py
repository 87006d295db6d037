"""Chooses the provider and model of a step's text: by the step, else by its model's name, else by the settings.

Each call chooses again, so a retry after a change of settings uses the new provider.
"""

from __future__ import annotations

from dataclasses import dataclass

from providers.openai_compatible import needs_key
from providers.registry import PROVIDERS, TEXT_GENERATORS
from rules.definition import Step
from settings import Settings


@dataclass(frozen=True)
class ModelChoice:
    """A provider and its model."""

    provider: str
    model: str


def find_default_provider(settings: Settings) -> str:
    """Return the provider for steps that name neither it nor its model: as configured, else one with credentials."""
    if settings.ai_provider:
        return settings.ai_provider
    has_openai = bool(settings.openai_api_key) or not needs_key(settings.openai_base_url)
    return "openai" if has_openai and not settings.gemini_api_key else "gemini"


def choose_model(settings: Settings, step: Step) -> ModelChoice:
    """Choose the provider and model for this step's text."""
    model = str(step.with_.get("model") or "")
    by_model = next((name for name in TEXT_GENERATORS if model.startswith(PROVIDERS[name].model_prefixes)), None)
    provider = str(step.with_.get("provider") or by_model or find_default_provider(settings))
    return ModelChoice(provider, model or str(getattr(settings, f"{provider}_model")))
