"""Derives the secrets that sign a workspace's outgoing webhooks, in the format of Standard Webhooks.

After a rotation both the current and the previous secret sign for a day, so that a receiver may know either.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime

import clock
from models import webhook_secret
from models.webhook_secret import SecretVersion
from settings import Settings


@dataclass(frozen=True)
class SigningSecrets:
    """The current secret, and the previous one with the end of its validity, if it is still valid."""

    current: str
    previous: str | None
    previous_valid_until: datetime | None

    @property
    def valid(self) -> tuple[str, ...]:
        """The secrets that sign, the current one first."""
        return (self.current, self.previous) if self.previous else (self.current,)


def load_secrets(settings: Settings, workspace_id: str) -> SigningSecrets:
    """Return the workspace's secrets, from a version that is at most some seconds old."""
    return derive_secrets(settings, workspace_id, webhook_secret.load_cached(workspace_id))


def derive_secrets(settings: Settings, workspace_id: str, row: SecretVersion) -> SigningSecrets:
    """Return the secrets of a version."""
    valid_until = row.previous_until(clock.now())
    previous = _derive(settings, workspace_id, row.version - 1) if valid_until else None
    return SigningSecrets(_derive(settings, workspace_id, row.version), previous, valid_until)


def _derive(settings: Settings, workspace_id: str, version: int) -> str:
    suffix = f", version {version}" if version else ""
    purpose = f"outgoing webhooks of {workspace_id}{suffix}"
    derived = hmac.digest(settings.secret_key.encode(), purpose.encode(), "sha256")
    return f"whsec_{base64.b64encode(derived).decode()}"
