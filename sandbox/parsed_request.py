"""The result of parsing a request to a provider's API, which the server then accepts or fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sandbox.http import HttpResponse, Request
from sandbox.look_ups import Listing
from sandbox.store import Message, now


@dataclass(frozen=True)
class ParsedRequest:
    """A parsed request: its provider, its recipient, the response, and the message to store if it is accepted."""

    provider: str
    to: str
    response: HttpResponse
    message: Message | None = None
    call: str = "send"
    #: For a look-up of accepted messages: what its response is built from.
    listing: Listing | None = None
    #: The messages to the further recipients of a request to several.
    copies: tuple[Message, ...] = ()
    #: How the response to a request for a stream is encoded: `sse`, or `json` for a list of its chunks.
    stream: Literal["sse", "json"] | None = None


def build_message(
    request: Request, provider: str, message_id: str, to: str, body: Any, key: str | None = None
) -> Message:
    """Build the message that is stored once the request is accepted."""
    return Message(message_id, provider, to, now(), request.path, request.headers, body, key)


def build_look_up(provider: str, to: str | None, listing: Listing) -> ParsedRequest:
    """Build the result for a request that lists accepted messages."""
    return ParsedRequest(provider, to or "", listing.list_all(), call="look_up", listing=listing)
