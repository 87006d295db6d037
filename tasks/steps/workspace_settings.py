"""Resolves a workspace's settings: what it has entered for its own accounts replaces the environment's fields.

Everything that calls a provider or verifies its webhooks for a workspace reads these settings.
"""

from __future__ import annotations

from models import channel_credential
from models.channel_credential import Credentials
from models.encryption import decrypt
from settings import Settings


def resolve_workspace_settings(settings: Settings, workspace_id: str, *, fresh: bool = False) -> Settings:
    """Return the workspace's settings. They may be cached for some seconds, unless `fresh` reads them anew."""
    if fresh:
        channel_credential.load_cached.forget(workspace_id)
    own = decrypt_all(settings, channel_credential.load_cached(workspace_id))
    return settings.replace(**{name.lower(): text for name, text in own.items()}) if own else settings


def decrypt_all(settings: Settings, credentials: Credentials) -> dict[str, str]:
    """Return the values by name; one that another SECRET_KEY encrypted counts as not set."""
    values = {name: decrypt(settings.secret_key, stored.value) for name, stored in credentials.items()}
    return {name: text for name, text in values.items() if text}
