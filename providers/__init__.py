"""SPEAKS. One module per outside service, both directions; this is the one table of channels and providers."""

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

#: Every provider that writes, by name.
TEXT_GENERATORS: dict[str, Callable[[Account, Prompt], GeneratedText]] = {
    "gemini": gemini.generate,
    "openai": openai_compatible.generate,
}

#: The settings without which a provider cannot be spoken to.
REQUIRED_SECRETS: dict[str, tuple[str, ...]] = {
    "mailgun": ("MAILGUN_API_KEY", "MAILGUN_DOMAIN"),
    "telnyx": ("TELNYX_API_KEY", "TELNYX_MESSAGING_PROFILE_ID"),
    "facebook": (meta.TOKEN,),
    "instagram": (meta.TOKEN,),
    "gemini": ("GEMINI_API_KEY",),
    # By OpenAI alone: see `openai_compatible.needs_key`.
    "openai": (openai_compatible.KEY,),
    "slack": ("SLACK_WEBHOOK_URL",),
    "discord": ("DISCORD_WEBHOOK_URL",),
    "webhook": (webhook.SECRET,),
}

#: Where the sandbox speaks for each provider, after its own address.
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

#: Not secrets: the sandbox takes any, and they never leave this machine.
_SANDBOX_SECRETS: dict[str, dict[str, str]] = {
    "mailgun": {
        "MAILGUN_API_KEY": "sandbox",
        "MAILGUN_DOMAIN": "sandbox.example.com",
        "MAILGUN_FROM": "Beckon sandbox <hello@sandbox.example.com>",
    },
    "telnyx": {"TELNYX_API_KEY": "sandbox", "TELNYX_MESSAGING_PROFILE_ID": "00000000-0000-4000-8000-000000000000"},
    "gemini": {"GEMINI_API_KEY": "sandbox"},
    "openai": {openai_compatible.KEY: "sandbox"},
    # The sandbox tells Meta's two channels apart by the account, as Meta does.
    "facebook": {meta.TOKEN: "sandbox", meta.ACCOUNT_ID: "100000000000001"},
    "instagram": {meta.TOKEN: "sandbox", meta.ACCOUNT_ID: "17841400000000001"},
    "webhook": {webhook.SECRET: "whsec_c2FuZGJveC1zYW5kYm94LXNhbmRib3gtc2FuZGJveA=="},
}


def build_sandbox_account(provider: str, sandbox_url: str) -> Account:
    """The account that speaks to the sandbox at `sandbox_url` in a provider's stead, and can reach nothing else."""
    base_url = sandbox_url.rstrip("/") + SANDBOX_PATHS[provider]
    return Account(provider, base_url, _SANDBOX_SECRETS.get(provider, {}), sandbox=True)
