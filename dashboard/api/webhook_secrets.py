"""The secret of outgoing webhooks over HTTP, for owners: receivers verify the calls of `call_webhook` with it."""

from __future__ import annotations

from typing import Any

from dashboard.access import Caller, current_settings
from dashboard.api import schemas
from dashboard.resource import Resource
from dashboard.responses import success
from models import webhook_secret
from tasks.steps.webhook_secrets import SigningSecrets, derive_secrets

webhook_secrets = Resource("webhook-secrets")

_SECRETS = {
    "secret": schemas.TEXT, "previousSecret": schemas.nullable(schemas.TEXT),
    "previousValidUntil": schemas.nullable(schemas.TIME),
}  # fmt: skip


@webhook_secrets.api("GET", "/api/webhooks/signing-secret", permission="admin", response=_SECRETS)
def show_signing_secret(call: Caller) -> Any:
    """Show the Standard Webhooks secret of `call_webhook`, and the previous one while it is valid."""
    return _serialize(read_secrets(call))


@webhook_secrets.api("POST", "/api/webhooks/signing-secret/rotate", permission="admin", response=_SECRETS)
def rotate_signing_secret(call: Caller) -> Any:
    """Create a new secret. For 24 hours calls are signed with both."""
    return _serialize(rotate_secret(call))


def read_secrets(call: Caller) -> SigningSecrets:
    """Return the caller's workspace's secrets."""
    return derive_secrets(current_settings(), call.workspace_id, webhook_secret.load(call.workspace_id))


def rotate_secret(call: Caller) -> SigningSecrets:
    """Begin a new secret in the caller's workspace."""
    return derive_secrets(current_settings(), call.workspace_id, webhook_secret.rotate(call.workspace_id, call.actor))


def _serialize(secrets: SigningSecrets) -> Any:
    return success(
        secret=secrets.current, previousSecret=secrets.previous, previousValidUntil=secrets.previous_valid_until
    )
