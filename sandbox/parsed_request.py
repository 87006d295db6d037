"""A request that the sandbox has understood: what each voice makes of one, for the server to accept or to fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.http import HttpResponse, Request
from sandbox.store import Message, now


@dataclass(frozen=True)
class ParsedRequest:
    """A request understood: whose it is, whom it is for, what to answer, and what to keep when it is accepted."""

    provider: str
    to: str
    response: HttpResponse
    message: Message | None = None
    call: str = "send"


def build_message(
    request: Request, provider: str, message_id: str, to: str, body: Any, key: str | None = None
) -> Message:
    """What is kept of a request once it is accepted."""
    return Message(message_id, provider, to, now(), request.path, request.headers, body, key)
