"""Builds the URL at which a provider reports on one message, with the message's key in its query."""

from __future__ import annotations

from urllib.parse import urlencode

from providers.base import Account
from providers.registry import PROVIDERS, SENDERS
from providers.telnyx import KEY_PARAMETER
from settings import Settings


def build_report_url(
    deployment: Settings, own: Settings, account: Account, workspace_id: str, message_key: str
) -> str | None:
    """Return the URL; None for a provider that takes none, and where BECKON_URL is no https address it could reach.

    A workspace with webhook secrets of its `own` has a webhook of its own. The sandbox reaches any address.
    """
    if not SENDERS[account.provider].reports_to_url:
        return None
    if not (account.sandbox or deployment.url.startswith("https://")):
        return None
    entry = PROVIDERS[account.provider]
    names = [name.lower() for name in entry.webhook_settings]
    is_own = any(getattr(own, name) != getattr(deployment, name) for name in names)
    path = entry.webhook_paths[0][0] + (f"/{workspace_id}" if is_own else "")
    return f"{deployment.url.rstrip('/')}{path}?{urlencode({KEY_PARAMETER: message_key})}"
