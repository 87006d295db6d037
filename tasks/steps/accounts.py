"""Chooses the account of a provider call: the workspace's real account, or the sandbox's.

A test execution never reaches a real provider, whatever is configured. The demo workspace uses
the sandbox for providers without a key. In any other workspace a missing key is a configuration error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from types import MappingProxyType

from models import account
from providers import webhook
from providers.base import Account
from providers.openai_compatible import needs_key
from providers.registry import PROVIDERS, build_sandbox_account
from rules.channels import CONVERSATION_CHANNELS
from rules.errors import ConfigurationError
from settings import Settings
from tasks.steps.webhook_secrets import load_secrets

#: Where an operator adds a missing setting.
_REMEDY = "add it in Settings, Channels, or to the environment and restart"


def read_secrets(settings: Settings, provider: str) -> dict[str, str]:
    """Return the provider's configured secrets by variable name; those of webhooks are derived, not configured."""
    if provider == "webhook":
        return {}
    entry = PROVIDERS[provider]
    names = (*entry.required_settings, *entry.optional_settings)
    values = {name: str(getattr(settings, name.lower()) or "") for name in names}
    return {name: text for name, text in values.items() if text}


def find_missing_secrets(settings: Settings, provider: str, own: Collection[str] = ()) -> list[str]:
    """Return the required variables that are not set; `own` are those that the workspace itself has."""
    if provider == "openai" and not needs_key(settings.openai_base_url):
        return []
    if provider == "webhook":
        return []
    present = {*read_secrets(settings, provider), *own}
    return [name for name in PROVIDERS[provider].required_settings if name not in present]


def resolve_account(
    settings: Settings,
    provider: str,
    workspace_id: str,
    *,
    test: bool,
    demo: bool,
    own: Mapping[str, str] = MappingProxyType({}),
) -> Account:
    """Return the account to use; raise `ConfigurationError` if there is none.

    `settings` are the workspace's (`tasks.steps.workspace_settings`). The secrets of its `own` account win.
    """
    missing = find_missing_secrets(settings, provider, own)
    if settings.sandbox == "auto" and (test or (demo and missing)):
        return build_sandbox_account(provider, settings.sandbox_url)
    if test:
        raise ConfigurationError("Tests only go to the sandbox, and BECKON_SANDBOX is off. Turn it on and restart.")
    if missing:
        raise ConfigurationError(f"{', '.join(missing)} is not set: {_REMEDY}.")
    base_url_setting = PROVIDERS[provider].base_url_setting
    return Account(
        provider=provider,
        base_url=str(getattr(settings, base_url_setting)) if base_url_setting else "",
        secrets={**_load_secrets(settings, provider, workspace_id), **own},
        allowed_networks=tuple(str(network) for network in settings.webhook_allowed_networks),
    )


def _load_secrets(settings: Settings, provider: str, workspace_id: str) -> dict[str, str]:
    if provider == "webhook":
        return {webhook.SECRET: " ".join(load_secrets(settings, workspace_id).valid)}
    return read_secrets(settings, provider)


def list_own_tokens(provider: str, workspace_id: str) -> list[str]:
    """Return the encrypted tokens of the workspace's own accounts on a channel of Meta."""
    return account.list_sealed_tokens(workspace_id, provider) if provider in CONVERSATION_CHANNELS else []


def fingerprint(settings: Settings, provider: str, workspace_id: str) -> str:
    """Hash the credentials in use, so that a pause ends when they change; the hash does not reveal them."""
    pairs = [f"{name}={text}" for name, text in sorted(read_secrets(settings, provider).items())]
    joined = "\n".join([*pairs, *list_own_tokens(provider, workspace_id)])
    return hashlib.sha256(f"{settings.secret_key}\n{provider}\n{joined}".encode()).hexdigest()[:32]
