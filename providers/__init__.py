"""Clients of the outside services, one module each, both directions; this module maps channels to providers."""

from __future__ import annotations

from collections.abc import Callable

from providers import discord, gemini, mailgun, meta, openai_compatible, slack, telnyx, webhook
from providers.base import Account, Provider
from providers.text_generation import GeneratedText, Prompt

#: Which provider serves a channel.
CHANNELS: dict[str, str] = {
    "email": "mailgun",
    "sms": "telnyx",
    "facebook": "facebook",
    "instagram": "instagram",
    "slack": "slack",
    "discord": "discord",
    "webhook": "webhook",
}

#: Every provider that sends, by name.
PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        mailgun.PROVIDER,
        telnyx.PROVIDER,
        meta.FACEBOOK,
        meta.INSTAGRAM,
        slack.PROVIDER,
        discord.PROVIDER,
        webhook.PROVIDER,
    )
}

#: Every text generator, by provider name.
TEXT_GENERATORS: dict[str, Callable[[Account, Prompt], GeneratedText]] = {
    "gemini": gemini.generate,
    "openai": openai_compatible.generate,
}

#: The settings that each provider requires.
REQUIRED_SECRETS: dict[str, tuple[str, ...]] = {
    "mailgun": ("MAILGUN_API_KEY", "MAILGUN_DOMAIN"),
    "telnyx": ("TELNYX_API_KEY", "TELNYX_MESSAGING_PROFILE_ID"),
    "facebook": (meta.TOKEN,),
    "instagram": (meta.TOKEN,),
    "gemini": ("GEMINI_API_KEY",),
    # Required only by OpenAI itself: see `openai_compatible.needs_key`.
    "openai": (openai_compatible.KEY,),
    "slack": ("SLACK_WEBHOOK_URL",),
    "discord": ("DISCORD_WEBHOOK_URL",),
    "webhook": (webhook.SECRET,),
}

#: The path of each provider below the sandbox's URL.
SANDBOX_PATHS: dict[str, str] = {
    "mailgun": "",
    "telnyx": "/v2",
    "gemini": "/v1beta",
    "openai": "/v1",
    "facebook": "/v25.0",
    "instagram": "/v25.0",
    "slack": "/services/T0/B0/sandbox",
    "discord": "/api/v10/webhooks/1/sandbox",
    "webhook": "",
}

#: Not secrets: the sandbox accepts any credentials, and they never leave this machine.
_SANDBOX_SECRETS: dict[str, dict[str, str]] = {
    "mailgun": {
        "MAILGUN_API_KEY": "sandbox",
        "MAILGUN_DOMAIN": "sandbox.example.com",
        "MAILGUN_FROM": "Beckon sandbox <hello@sandbox.example.com>",
    },
    "telnyx": {"TELNYX_API_KEY": "sandbox", "TELNYX_MESSAGING_PROFILE_ID": "00000000-0000-4000-8000-000000000000"},
    "gemini": {"GEMINI_API_KEY": "sandbox"},
    "openai": {openai_compatible.KEY: "sandbox"},
    # The sandbox distinguishes Meta's two channels by the account, as Meta does.
    "facebook": {meta.TOKEN: "sandbox", meta.ACCOUNT_ID: "100000000000001"},
    "instagram": {meta.TOKEN: "sandbox", meta.ACCOUNT_ID: "17841400000000001"},
    "webhook": {webhook.SECRET: "whsec_c2FuZGJveC1zYW5kYm94LXNhbmRib3gtc2FuZGJveA=="},
}


def build_sandbox_account(provider: str, sandbox_url: str) -> Account:
    """Build an account that uses the sandbox at `sandbox_url` instead of the provider and reaches nothing else."""
    base_url = sandbox_url.rstrip("/") + SANDBOX_PATHS[provider]
    return Account(provider, base_url, _SANDBOX_SECRETS.get(provider, {}), sandbox=True)
