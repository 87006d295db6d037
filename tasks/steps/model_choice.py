"""Which provider writes a step's text, and with which model: the step says, else its model's name does, else settings.

A choice is a value, made anew for each call: a retry after other settings goes to the provider that they name.
"""

from __future__ import annotations

from dataclasses import dataclass

from providers.openai_compatible import needs_key
from providers.registry import PROVIDERS, TEXT_GENERATORS
from rules.definition import Step
from settings import Settings


@dataclass(frozen=True)
class ModelChoice:
    """A provider that writes, and its model."""

    provider: str
    model: str


def find_default_provider(settings: Settings) -> str:
    """The provider of steps that name none and none of its models: the one that is set, else what has credentials."""
    if settings.ai_provider:
        return settings.ai_provider
    has_openai = bool(settings.openai_api_key) or not needs_key(settings.openai_base_url)
    return "openai" if has_openai and not settings.gemini_api_key else "gemini"


def choose_model(settings: Settings, step: Step) -> ModelChoice:
    """Who writes this step's text."""
    model = str(step.with_.get("model") or "")
    by_model = next((name for name in TEXT_GENERATORS if model.startswith(PROVIDERS[name].model_prefixes)), None)
    provider = str(step.with_.get("provider") or by_model or find_default_provider(settings))
    return ModelChoice(provider, model or str(getattr(settings, f"{provider}_model")))
