"""Lists the required settings without a value: what each blocks, and where to set it."""

from __future__ import annotations

from providers.registry import PROVIDERS
from rules import links
from tasks.health.parts import MissingSetting
from tasks.health.services import SERVICES, ProviderFacts, build_settings_path, is_used, list_providers

#: The settings that a service works without, and what then does not: the provider, the service and the feature.
_WEBHOOK_SECRETS = {
    "MAILGUN_WEBHOOK_SIGNING_KEY": ("mailgun", "email", "Bounces, complaints and replies by e-mail: Mailgun's webhooks "
                                    "cannot be verified."),
    "TELNYX_PUBLIC_KEY": ("telnyx", "sms", "SMS replies and delivery reports: Telnyx's webhooks cannot be verified."),
    "META_APP_SECRET": ("facebook", "messaging", "Comments, messages and replies: Meta's webhooks cannot be verified."),
}  # fmt: skip


def list_missing_settings(facts: ProviderFacts) -> list[MissingSetting]:
    """Return the missing settings, those that active automations need first. The sandbox needs none."""
    rows: dict[str, MissingSetting] = {}
    for row in (
        *_list_required(facts),
        *_list_webhook_secrets(facts),
        *_list_unsubscribe_url(facts),
        *_list_click_url(facts),
    ):
        # Facebook and Instagram need the same one, and so do unsubscribing and clicks.
        rows.setdefault(row.variable, row)
    return sorted(rows.values(), key=lambda row: not row.needed)


def _list_required(facts: ProviderFacts) -> list[MissingSetting]:
    return [
        _build(variable, service, provider, facts)
        for service in SERVICES
        for provider in list_providers(service, facts)
        for variable in facts.workspace.missing_secrets.get(provider, [])
    ]


def _build(variable: str, service: str, provider: str, facts: ProviderFacts) -> MissingSetting:
    feature = PROVIDERS[provider].feature or PROVIDERS[provider].label
    used = is_used(provider, facts.used)
    suffix = "" if used else " No active automation uses it."
    meaning = f"{feature[:1].upper()}{feature[1:]}.{suffix}"
    if facts.workspace.sandboxed:
        meaning = f"{feature[:1].upper()}{feature[1:]} outside the sandbox.{suffix}"
    return MissingSetting(
        variable, service, meaning, build_settings_path(provider), _describe_place(service),
        used and not facts.workspace.sandboxed,
    )  # fmt: skip


def _list_webhook_secrets(facts: ProviderFacts) -> list[MissingSetting]:
    """Return the missing secrets of webhooks, for providers that are configured."""
    return [
        MissingSetting(
            variable, service, meaning, build_settings_path(provider), _describe_place(service),
            is_used(provider, facts.used),
        )
        for variable, (provider, service, meaning) in _WEBHOOK_SECRETS.items()
        if not facts.workspace.missing_secrets.get(provider) and not getattr(facts.workspace.settings, variable.lower())
    ]  # fmt: skip


def _list_unsubscribe_url(facts: ProviderFacts) -> list[MissingSetting]:
    """Return BECKON_URL where e-mail is sent without headers to unsubscribe, which need https (RFC 8058)."""
    if "send_email" not in facts.used or facts.workspace.sandboxed:
        return []
    if facts.workspace.settings.url.startswith("https://"):
        return []
    meaning = "One-click unsubscription: e-mail has no header or footer link for it, because BECKON_URL is not https."
    return [MissingSetting("BECKON_URL", "email", meaning, "/settings", "the environment", needed=False)]


def _list_click_url(facts: ProviderFacts) -> list[MissingSetting]:
    """Return BECKON_URL where steps count clicks and recipients cannot reach it."""
    url = facts.workspace.settings.url
    reaches = url.startswith("https://") or (links.is_loopback(url) and facts.workspace.sandboxed)
    if "track_clicks" not in facts.used or reaches:
        return []
    meaning = "Counting clicks: links in messages stay as they are, because BECKON_URL is no https address."
    return [MissingSetting("BECKON_URL", "messaging", meaning, "/settings", "the environment", needed=False)]


def _describe_place(service: str) -> str:
    return f"Settings, Channels, {SERVICES[service]}"
