"""A request that the sandbox has understood: what each voice makes of one, for the server to accept or to fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.exchange import Answer, Asked
from sandbox.memory import Message, now


@dataclass(frozen=True)
class Heard:
    """A request understood: whose it is, whom it is for, what to answer, and what to keep when it is accepted."""

    provider: str
    to: str
    answer: Answer
    message: Message | None = None
    call: str = "send"


def kept(asked: Asked, provider: str, message_id: str, to: str, body: Any, key: str | None = None) -> Message:
    """What is kept of a request once it is accepted."""
    return Message(message_id, provider, to, now(), asked.path, asked.headers, body, key)
