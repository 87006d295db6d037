"""Every provider, in one table: its label, its settings, its place in the sandbox, and what it can do.

`PROVIDERS` is the registry; the derived tables below and every other list of providers are made from it. Adding a
provider is its module, its row here and, where it serves a channel, a row of `rules.channels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from providers import discord, gemini, mailgun, meta, meta_callbacks, openai_compatible, slack, telnyx, webhook
from providers.base import Account, Callback, Provider
from providers.text_generation import GeneratedText, Prompt

Generate = Callable[[Account, Prompt], GeneratedText]
ReadEvent = Callable[[Mapping[str, Any]], Callback | None]


Check = Callable[[Account], str]


@dataclass(frozen=True)
class Guide:
    """How to get a provider's credentials, for people: the provider's page and two or three sentences."""

    url: str
    text: str


@dataclass(frozen=True)
class ProviderEntry:
    """One provider. Settings are named by their environment variables."""

    name: str
    label: str
    #: What a workspace cannot do without it; None where it needs no credentials from outside.
    feature: str | None
    #: Where the sandbox imitates it, after the sandbox's own address.
    sandbox_path: str
    #: Without these the provider cannot be called.
    required_settings: tuple[str, ...]
    optional_settings: tuple[str, ...] = ()
    #: The setting of its API's address; None where a step or the workspace names the address.
    base_url_setting: str | None = None
    #: Not secrets: the sandbox accepts any credentials, and these never leave this machine.
    sandbox_secrets: Mapping[str, str] = field(default_factory=dict)
    sender: Provider | None = None
    generate: Generate | None = None
    #: How the names of its models begin.
    model_prefixes: tuple[str, ...] = ()
    #: How its events are read, by the source under which they are stored.
    event_sources: Mapping[str, ReadEvent] = field(default_factory=dict)
    #: The addresses among which a workspace may choose, each with its label.
    regions: tuple[tuple[str, str], ...] = ()
    #: What verifies its webhooks.
    webhook_settings: tuple[str, ...] = ()
    #: The paths of its webhooks, with a label; a workspace's own end with its id.
    webhook_paths: tuple[tuple[str, str], ...] = ()
    guide: Guide | None = None
    #: A call that reads only, for a test where a message needs a person who has written first.
    check: Check | None = None


_META_GUIDE = Guide(
    "https://developers.facebook.com/docs/messenger-platform/get-started",
    "Create an app at Meta for Developers, connect your Page or Instagram account, and generate a Page access token "
    "with the messaging permissions. A token of a system user does not expire.",
)

_TABLE = (
    ProviderEntry(
        "mailgun",
        "Mailgun",
        "e-mail",
        "",
        ("MAILGUN_API_KEY", "MAILGUN_DOMAIN"),
        ("MAILGUN_FROM",),
        "mailgun_base_url",
        {
            "MAILGUN_API_KEY": "sandbox",
            "MAILGUN_DOMAIN": "sandbox.example.com",
            "MAILGUN_FROM": "Beckon sandbox <hello@sandbox.example.com>",
        },
        regions=(("https://api.mailgun.net", "United States"), ("https://api.eu.mailgun.net", "European Union")),
        webhook_settings=("MAILGUN_WEBHOOK_SIGNING_KEY",),
        webhook_paths=(("/api/webhooks/mailgun", "Events"), ("/api/webhooks/mailgun/inbound", "Inbound mail")),
        guide=Guide(
            "https://app.mailgun.com/settings/api_security",
            "Add and verify a sending domain in Mailgun. Create an API key under Settings, API security. The HTTP "
            "webhook signing key is on the same page.",
        ),
        sender=mailgun.PROVIDER,
        event_sources={"mailgun": mailgun.read_event, "mailgun_inbound": mailgun.read_inbound},
    ),
    ProviderEntry(
        "telnyx",
        "Telnyx",
        "SMS",
        "/v2",
        ("TELNYX_API_KEY", "TELNYX_MESSAGING_PROFILE_ID"),
        base_url_setting="telnyx_base_url",
        webhook_settings=("TELNYX_PUBLIC_KEY",),
        webhook_paths=(("/api/webhooks/telnyx", "Events and replies"),),
        guide=Guide(
            "https://portal.telnyx.com/#/app/api-keys",
            "Buy a number and assign it to a messaging profile in the Telnyx portal. Copy the profile's ID from "
            "Messaging. Create the API key under Account, API keys; the public key is on the same page.",
        ),
        sandbox_secrets={
            "TELNYX_API_KEY": "sandbox",
            "TELNYX_MESSAGING_PROFILE_ID": "00000000-0000-4000-8000-000000000000",
        },
        sender=telnyx.PROVIDER,
        event_sources={"telnyx": telnyx.read_event},
    ),
    # The sandbox tells Meta's two channels apart by the account, as Meta does.
    ProviderEntry(
        "facebook",
        "Facebook",
        "Facebook messages",
        "/v25.0",
        (meta.TOKEN,),
        base_url_setting="meta_base_url",
        sandbox_secrets={meta.TOKEN: "sandbox", meta.ACCOUNT_ID: "100000000000001"},
        guide=_META_GUIDE,
        check=meta.check_token,
        sender=meta.FACEBOOK,
        event_sources={"facebook": meta_callbacks.read_event},
    ),
    ProviderEntry(
        "instagram",
        "Instagram",
        "Instagram messages",
        "/v25.0",
        (meta.TOKEN,),
        base_url_setting="meta_base_url",
        sandbox_secrets={meta.TOKEN: "sandbox", meta.ACCOUNT_ID: "17841400000000001"},
        guide=_META_GUIDE,
        check=meta.check_token,
        sender=meta.INSTAGRAM,
        event_sources={"instagram": meta_callbacks.read_event},
    ),
    ProviderEntry(
        "gemini",
        "Gemini",
        "texts generated by Gemini",
        "/v1beta",
        ("GEMINI_API_KEY",),
        base_url_setting="gemini_base_url",
        sandbox_secrets={"GEMINI_API_KEY": "sandbox"},
        guide=Guide(
            "https://aistudio.google.com/apikey",
            "Create an API key in Google AI Studio. A project without billing has low limits.",
        ),
        generate=gemini.generate,
        model_prefixes=("gemini", "models/gemini"),
    ),
    ProviderEntry(
        "openai",
        "OpenAI",
        "texts generated by an OpenAI-compatible API",
        "/v1",
        # Required by OpenAI itself only: see `openai_compatible.needs_key`.
        (openai_compatible.KEY,),
        base_url_setting="openai_base_url",
        sandbox_secrets={openai_compatible.KEY: "sandbox"},
        guide=Guide(
            "https://platform.openai.com/api-keys",
            "Create a secret key for your project. For another server with OpenAI's API, enter its base URL and its "
            "key under AI model on the General tab: a key is only sent to the base URL it was entered for.",
        ),
        generate=openai_compatible.generate,
        model_prefixes=("gpt-", "chatgpt-", "o1", "o3", "o4"),
    ),
    ProviderEntry(
        "slack",
        "Slack",
        "Slack notifications",
        "/services/T0/B0/sandbox",
        ("SLACK_WEBHOOK_URL",),
        base_url_setting="slack_webhook_url",
        guide=Guide(
            "https://api.slack.com/messaging/webhooks",
            "Create a Slack app, turn on incoming webhooks, and add one to the channel that receives notifications. "
            "Anyone with the URL can post to that channel.",
        ),
        sender=slack.PROVIDER,
    ),
    ProviderEntry(
        "discord",
        "Discord",
        "Discord notifications",
        "/api/v10/webhooks/1/sandbox",
        ("DISCORD_WEBHOOK_URL",),
        base_url_setting="discord_webhook_url",
        guide=Guide(
            "https://support.discord.com/hc/en-us/articles/228383668",
            "Open the channel's settings in Discord, then Integrations, and create a webhook. Copy its URL. Anyone "
            "with the URL can post to that channel.",
        ),
        sender=discord.PROVIDER,
    ),
    ProviderEntry(
        "webhook",
        "Webhooks",
        None,
        "",
        (webhook.SECRET,),
        sandbox_secrets={webhook.SECRET: "whsec_c2FuZGJveC1zYW5kYm94LXNhbmRib3gtc2FuZGJveA=="},
        sender=webhook.PROVIDER,
    ),
)

PROVIDERS: dict[str, ProviderEntry] = {entry.name: entry for entry in _TABLE}
SENDERS: dict[str, Provider] = {entry.name: entry.sender for entry in _TABLE if entry.sender}
TEXT_GENERATORS: dict[str, Generate] = {entry.name: entry.generate for entry in _TABLE if entry.generate}
#: What a workspace outside the sandbox cannot do while a provider has no credentials.
FEATURES: dict[str, str] = {entry.name: entry.feature for entry in _TABLE if entry.feature}


def build_sandbox_account(provider: str, sandbox_url: str) -> Account:
    """The account that calls the sandbox at `sandbox_url` in a provider's place, and can reach nothing else."""
    entry = PROVIDERS[provider]
    return Account(provider, sandbox_url.rstrip("/") + entry.sandbox_path, entry.sandbox_secrets, sandbox=True)
