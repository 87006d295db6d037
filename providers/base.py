"""Defines the provider interface: the account it acts for, the message it sends, its receipts and its callbacks.

A provider serves one outside service in both directions and nothing else: no rows, no settings, no clock of the
application. It takes an `Account` and returns values or raises from the tree in `rules.errors`. Its HTTP client is
`providers.http_client`; its retries are in `providers.retries`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from rules.errors import ConfigurationError, ExecutionError
from rules.opt_outs import Intent
from rules.reconciliation import WhenUnknown

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

MessageKind = Literal["message", "private_reply", "comment_reply"]

#: Maximum characters of a provider's own message that an error quotes.
QUOTE_LENGTH = 300


class LeaseLost(Exception):
    """The lease was lost before the request was written; nothing was sent.

    This is not an `ExecutionError`: the new holder of the lease continues, and this one stops silently.
    """


@dataclass(frozen=True, repr=False)
class Account:
    """An account at a provider: its base URL and its secrets by setting name (`MAILGUN_API_KEY`, …).

    With `sandbox`, nothing may reach the real provider: `base_url` is the sandbox's. `allowed_networks` are the private
    networks, in CIDR form, that a webhook may reach.
    """

    provider: str
    base_url: str
    secrets: Mapping[str, str]
    sandbox: bool = False
    allowed_networks: tuple[str, ...] = ()
    #: A user entered the base URL: it must not point into a private network.
    guarded: bool = False

    def __repr__(self) -> str:
        # Only the host of the address: Slack's and Discord's paths are secrets.
        return f"Account({self.provider!r}, host={urlsplit(self.base_url).hostname!r}, sandbox={self.sandbox})"

    def require_secret(self, name: str) -> str:
        """Return the secret `name`. Raises `ConfigurationError` that names the missing setting."""
        value = self.secrets.get(name)
        if not value:
            raise ConfigurationError(f"{name} is not set: add it in Settings, Channels, or to the environment.")
        return value

    def redact(self, text: str) -> str:
        """Return `text` with this account's secrets masked."""
        for value in sorted(self.secrets.values(), key=len, reverse=True):
            if len(value) >= 8:
                text = text.replace(value, "***")
        return text


@dataclass(frozen=True)
class Button:
    """A button of a direct message: opens `url`, or sends back `payload` (by default its title)."""

    title: str
    payload: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class OutgoingMessage:
    """One message to send. `key` is our unique message key; `format` is `text` or `html`.

    `kind` distinguishes direct messages: to a person, or a private or public reply to the comment `to`.
    `holds_lease` is called immediately before each attempt writes its request; False raises `LeaseLost`.
    """

    key: str
    to: str
    body: str
    subject: str | None = None
    format: str = "text"
    sender: str | None = None
    reply_to: str | None = None
    #: Where a provider that takes an address per message (`Provider.reports_to_url`) reports on this one.
    report_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    kind: MessageKind = "message"
    buttons: tuple[Button, ...] = ()
    quick_replies: tuple[str, ...] = ()
    holds_lease: Callable[[], bool] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Receipt:
    """The provider accepted the message: its id, if it returns one, and details for operators."""

    provider_message_id: str | None
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ListedSend:
    """A message of ours that a provider lists as accepted, with our `key`."""

    key: str
    provider_message_id: str | None
    to: str
    subject: str | None
    accepted_at: datetime


@dataclass(frozen=True)
class Callback:
    """One event about a message or a contact that a provider reported.

    `permanent` means that this message will not be delivered. `message_key` is our own key if the provider carries it.
    `event_id` is the provider's id, the same in every redelivery of the event.
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
    #: The provider's signature does not cover `message_key`: it counts only for a message to `address`.
    key_is_unsigned: bool = False
    #: The text of our message, where a report on it has that.
    sent_text: str | None = None
    #: Whether the report says that the recipient must not be written to any more.
    suppress_channel: bool = False
    #: What a contact's message asks for, and whether the provider has answered that itself.
    intent: Intent | None = None
    is_answered: bool = False
    detail: Mapping[str, object] = field(default_factory=dict)


class Provider(ABC):
    """A service that sends messages."""

    name: ClassVar[str]
    #: The display name, for messages.
    label: ClassVar[str]
    #: Whether a message whose response was lost can be looked up, and among which records.
    can_reconcile: ClassVar[bool] = False
    searched_records: ClassVar[str] = "events"
    #: Whether these have our key, for `find_receipt`; otherwise `list_receipts` has those of its recipient.
    identifies_by_key: ClassVar[bool] = True
    #: What follows where neither the step nor the workspace says otherwise and the message is not found. Only a
    #: provider that certainly lists what it accepted may have it sent again.
    when_unknown: ClassVar[WhenUnknown] = "hold"
    #: Whether it takes an address for the reports on each message.
    reports_to_url: ClassVar[bool] = False
    #: Whether `list_sent` can list what was sent, by our keys.
    can_list_sent: ClassVar[bool] = False
    #: Timeouts of the connection and of the response. Accept-and-queue APIs get a long one: a send that times out is an
    #: unknown outcome, and waiting is cheaper.
    connect_seconds: float = 5.0
    read_seconds: float = 15.0

    @abstractmethod
    def send(self, account: Account, outgoing: OutgoingMessage) -> Receipt:
        """Send one message. Raises an `ExecutionError`, or `LeaseLost`."""

    def find_receipt(self, account: Account, key: str, since: datetime, to: str | None = None) -> Receipt | None:  # noqa: ARG002
        """Return the receipt of the message with our `key` sent at or after `since`, or None if there is none.

        `to` is the recipient's address; it narrows the search.
        """
        return None

    def list_receipts(self, account: Account, sent_at: datetime, to: str, end: datetime | None = None) -> list[Receipt]:  # noqa: ARG002
        """Return the receipts of everything that the account sent to `to` around this time, or from it to the other."""
        return []

    def list_sent(self, account: Account, since: datetime) -> Iterator[ListedSend]:  # noqa: ARG002
        """Yield the messages with our keys that the account has accepted since then. Raises an `ExecutionError`."""
        return iter(())


@dataclass(frozen=True)
class ErrorRule:
    """A row of a provider's error table: the error class of a rejection and its remedy."""

    error: type[ExecutionError]
    remedy: str
    retry_after: float | None = None
    suppress_channel: bool = False

    def build_error(
        self, label: str, provider_message: str, code: str, retry_after: float | None = None
    ) -> ExecutionError:
        """Build the error of this row; `provider_message` is the provider's own text, already redacted."""
        quote = f" ({' '.join(provider_message.split())[:QUOTE_LENGTH]})" if provider_message.strip() else ""
        return self.error(
            f"{label} refused the request{quote}. {self.remedy}",
            provider_code=code,
            retry_after=self.retry_after if retry_after is None else retry_after,
            suppress_channel=self.suppress_channel,
        )
