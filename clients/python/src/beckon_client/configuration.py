"""The client's configuration: checked once, when the client is created."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict

from beckon_client.errors import DeliveryError, InvalidConfigurationError

#: Where the URL and the key come from without an argument.
URL_VARIABLE, KEY_VARIABLE = "BECKON_URL", "BECKON_API_KEY"

OnError = Callable[[DeliveryError], None]


class Options(TypedDict, total=False):
    """The optional arguments of a client: the fields of `Configuration`."""

    on_error: OnError | None
    max_buffered: int
    max_buffered_bytes: int
    max_block_seconds: float
    linger_seconds: float
    request_seconds: float
    now_seconds: float
    exit_seconds: float
    flush_on_sigterm: bool


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Where to send, and how long to wait. Durations are seconds; sizes are entries or bytes, per kind of entry."""

    url: str
    api_key: str = field(repr=False)
    #: Called from the sending thread for each entry that was not delivered.
    on_error: OnError | None = None
    max_buffered: int = 10_000
    max_buffered_bytes: int = 64 * 1024 * 1024
    #: How long a call may wait for room in a full buffer before it raises BufferFullError.
    max_block_seconds: float = 0.1
    #: How long an entry waits for others before a batch is sent.
    linger_seconds: float = 0.05
    #: How long one request may take.
    request_seconds: float = 30.0
    #: How long an immediate call may take, with its retries.
    now_seconds: float = 10.0
    #: How long the end of the process waits for the buffer to empty.
    exit_seconds: float = 5.0
    #: Whether SIGTERM, where nothing else handles it, empties the buffer before it ends the process.
    flush_on_sigterm: bool = True

    def __post_init__(self) -> None:
        for name in ("max_buffered", "max_buffered_bytes", "request_seconds", "now_seconds"):
            if not getattr(self, name) > 0:
                raise InvalidConfigurationError(f"{name} must be more than 0")
        for name in ("max_block_seconds", "linger_seconds", "exit_seconds"):
            if not getattr(self, name) >= 0:
                raise InvalidConfigurationError(f"{name} must be 0 or more")


def read_url(url: str | None) -> str:
    """The base URL without a slash at its end: the argument, or BECKON_URL. Raises `InvalidConfigurationError`."""
    text = os.environ.get(URL_VARIABLE, "") if url is None else url
    if not text:
        raise InvalidConfigurationError(f"The URL of Beckon is missing. Pass url or set {URL_VARIABLE}.")
    try:
        parts = urllib.parse.urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or not text.isascii() or any(character <= " " or character == "\x7f" for character in text):
        raise InvalidConfigurationError("The URL of Beckon must look like https://beckon.example.com.")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidConfigurationError("The URL of Beckon may have no user, query or fragment.")
    return text.rstrip("/")


def read_key(api_key: str | None) -> str:
    """The API key: the argument, or BECKON_API_KEY. Raises `InvalidConfigurationError`, without the key."""
    text = os.environ.get(KEY_VARIABLE, "") if api_key is None else api_key
    if not text:
        raise InvalidConfigurationError(f"The API key is missing. Pass api_key or set {KEY_VARIABLE}.")
    if not all("!" <= character <= "~" for character in text):
        raise InvalidConfigurationError("The API key has a character that no key has, such as a space or a line break.")
    return text
