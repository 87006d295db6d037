"""Every channel, in one table: its label, the provider that serves it, and the contact's field that holds the address.

`CHANNELS` is the registry; every list of channels is derived from it, here or where it is used. A channel without a
contact field reaches operators or a customer's own endpoint.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel."""

    name: str
    #: On pages, at the beginning of a line.
    label: str
    #: Within a sentence.
    noun: str
    provider: str
    contact_field: str | None = None
    #: Whether people answer on it, through an account of the workspace's own.
    is_conversation: bool = False
    #: Whether it tells operators, by the action `notify`.
    is_notice: bool = False
    #: What becomes known of its messages, besides that they were sent and clicks of counted links.
    measures: frozenset[str] = frozenset()


#: Telnyx reports no reading, Instagram no delivery.
_ALL_MEASURES = frozenset({"delivered", "opened", "replied", "unsubscribed"})
_TABLE = (
    Channel("email", "E-mail", "e-mail", "mailgun", "email", measures=_ALL_MEASURES),
    Channel("sms", "SMS", "SMS", "telnyx", "phone", measures=_ALL_MEASURES - {"opened"}),
    Channel(
        "facebook", "Messenger", "Facebook", "facebook", "facebook_id", is_conversation=True, measures=_ALL_MEASURES
    ),
    Channel(
        "instagram", "Instagram", "Instagram", "instagram", "instagram_id", is_conversation=True,
        measures=_ALL_MEASURES - {"delivered"},
    ),
    Channel("slack", "Slack", "Slack", "slack", is_notice=True),
    Channel("discord", "Discord", "Discord", "discord", is_notice=True),
    Channel("webhook", "Webhook", "a webhook", "webhook"),
)  # fmt: skip

CHANNELS: dict[str, Channel] = {channel.name: channel for channel in _TABLE}
#: The contact's field that holds the address, by channel.
ADDRESS_FIELDS: dict[str, str] = {channel.name: channel.contact_field for channel in _TABLE if channel.contact_field}
#: The channels that reach the contact.
CONTACT_CHANNELS: tuple[str, ...] = tuple(ADDRESS_FIELDS)
NOTICE_CHANNELS: tuple[str, ...] = tuple(channel.name for channel in _TABLE if channel.is_notice)
#: The channels of direct messages: Meta's.
CONVERSATION_CHANNELS: tuple[str, ...] = tuple(channel.name for channel in _TABLE if channel.is_conversation)

#: The providers that generate texts; a channel's provider sends them.
TEXT_PROVIDERS: tuple[str, ...] = ("gemini", "openai")
#: Every provider, once.
PROVIDER_NAMES: tuple[str, ...] = tuple(dict.fromkeys((*(channel.provider for channel in _TABLE), *TEXT_PROVIDERS)))
