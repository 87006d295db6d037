"""What every provider is: the account it speaks for, the message it sends, the receipt and the callback it brings back.

A provider knows one outside service in both directions and nothing else: no rows, no settings, no clock of the
application. It gets an `Account` and answers with values or raises from the tree in `rules.errors`; the wire under it
is `providers.http_client`, how often it tries is `providers.retries`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from rules.errors import ConfigurationError, ExecutionError

CallbackKind = Literal[
    "delivered",
    "bounced",
    "complained",
    "replied",
    "failed",
    "opened",
    "clicked",
    "unsubscribed",
    "sent",
    "read",
    "delayed",
    "comment",
    "echo",
    "edited",
    "reacted",
    "unsent",
]

Way = Literal["message", "private_reply", "comment_reply"]

#: How much of a provider's own words an error repeats.
QUOTE_LENGTH = 300


class LeaseLost(Exception):
    """The execution was no longer ours when its request was about to be written; nothing was sent.

    Not an `ExecutionError`: whoever holds the lease now goes on, and the loser leaves without a word.
    """


@dataclass(frozen=True, repr=False)
class Account:
    """Whom a provider speaks for: its address and the secrets by their settings' names (`MAILGUN_API_KEY`, …).

    `sandbox` says that nothing may leave for the real provider: `base_url` is then the sandbox's. `allowed_networks`
    are private networks, in CIDR form, that a webhook may reach.
    """

    provider: str
    base_url: str
    secrets: Mapping[str, str]
    sandbox: bool = False
    allowed_networks: tuple[str, ...] = ()
    #: The address was written by a user, and must not lead into a private network.
    guarded: bool = False

    def __repr__(self) -> str:
        # Only the host of the address: Slack's and Discord's paths are secrets.
        return f"Account({self.provider!r}, host={urlsplit(self.base_url).hostname!r}, sandbox={self.sandbox})"

    def require_secret(self, name: str) -> str:
        """The secret called `name`; a `ConfigurationError` that says which setting to fill in when it is missing."""
        value = self.secrets.get(name)
        if not value:
            raise ConfigurationError(f"{name} is not set: add it in Settings, Channels, or to the environment.")
        return value

    def redact(self, text: str) -> str:
        """`text` without any secret of this account in it."""
        for value in sorted(self.secrets.values(), key=len, reverse=True):
            if len(value) >= 8:
                text = text.replace(value, "***")
        return text


@dataclass(frozen=True)
class Button:
    """A button under a direct message: opens `url`, or answers us with `payload` (its title where it has none)."""

    title: str
    payload: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class OutgoingMessage:
    """One message to send. `key` is our unique message key; `format` is `text` or `html`.

    `way` is how a direct message goes: to a person, or to the comment that `to` names, in private or in public.
    `still_ours` is asked immediately before each try writes its request: False raises `LeaseLost`.
    """

    key: str
    to: str
    body: str
    subject: str | None = None
    format: str = "text"
    sender: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    way: Way = "message"
    buttons: tuple[Button, ...] = ()
    quick_replies: tuple[str, ...] = ()
    holds_lease: Callable[[], bool] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Receipt:
    """The provider accepted the message: its id, if it gives one, and what an operator may want to see."""

    provider_message_id: str | None
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Callback:
    """One event that a provider told us about a message or a contact.

    `permanent` says that this message will not be delivered any more. `message_key` is our own key where the provider
    carries it. `event_id` is the provider's and the same in every repetition of the event.
    """

    provider: str
    event_id: str
    kind: CallbackKind
    provider_message_id: str | None
    message_key: str | None
    address: str | None
    text: str | None
    occurred_at: datetime
    permanent: bool = False
    detail: Mapping[str, object] = field(default_factory=dict)


class Provider(ABC):
    """A service that sends messages."""

    name: ClassVar[str]
    #: The name as people write it, for messages.
    label: ClassVar[str]
    #: Whether `look_up` can find out what became of a message whose answer was lost.
    can_reconcile: ClassVar[bool] = False
    #: How long a connection may take, and then an answer. Accept-and-queue APIs get long: a send that is given up on
    #: is an unknown outcome, and waiting is cheaper.
    connect_seconds: float = 5.0
    read_seconds: float = 15.0

    @abstractmethod
    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Send one message, or raise an `ExecutionError` that says what happened, or `LeaseLost`."""

    def find_receipt(self, account: Account, key: str, since: datetime, to: str | None = None) -> Receipt | None:  # noqa: ARG002
        """The receipt of the message with our `key` sent at or after `since`, or None where there is no trace of it.

        `to` is the address it went to: with it, a provider has less to look through.
        """
        return None


@dataclass(frozen=True)
class ErrorRule:
    """A row of a provider's classification table: what a refusal means and what to do about it."""

    error: type[ExecutionError]
    remedy: str
    retry_after: float | None = None
    suppress_channel: bool = False

    def build_error(
        self, label: str, provider_message: str, code: str, retry_after: float | None = None
    ) -> ExecutionError:
        """The error of this row; `said` is the provider's own text, already without secrets."""
        quote = f" ({' '.join(provider_message.split())[:QUOTE_LENGTH]})" if provider_message.strip() else ""
        return self.error(
            f"{label} refused the request{quote}. {self.remedy}",
            provider_code=code,
            retry_after=self.retry_after if retry_after is None else retry_after,
            suppress_channel=self.suppress_channel,
        )


_STOP_WORDS = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "remove", "arret"}
)


def asks_to_stop(text: str | None) -> bool:
    """Whether a contact's whole message is STOP or one of its likes, whatever its case and punctuation."""
    return re.sub(r"[\W_]+", "", (text or "").lower()) in _STOP_WORDS
