"""Stores the accepted messages, in order, and the faults to play."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rules.channels import CHANNELS, CONVERSATION_CHANNELS, PROVIDER_NAMES, TEXT_PROVIDERS

#: Maximum number of stored messages; the oldest are dropped.
MAX_MESSAGES = 50_000
#: Additional faults of text generators: a safety filter's refusal, no text, a text that ran out of tokens.
TEXT_GENERATOR_FAULTS = ("blocked", "empty", "cut_short")
#: Additional faults of look-ups: messages listed late, never, or after other records; a key that may not read.
LOOK_UP_FAULTS = ("lookup_late", "lookup_never", "lookup_auth", "lookup_second_page")
#: The providers that list what they accepted.
LOOK_UP_PROVIDERS = tuple(
    channel.provider for channel in CHANNELS.values() if channel.contact_field and not channel.is_conversation
)
FAULTS = (
    "http_500", "http_429", "timeout", "reset_before", "reset_after", "slow", "bad_json", "auth", "refused",
    *TEXT_GENERATOR_FAULTS, *LOOK_UP_FAULTS,
)  # fmt: skip

#: Meta's two channels.
META = CONVERSATION_CHANNELS
#: Default seconds of a fault; for `http_429` the requested wait.
DEFAULT_SECONDS = {"timeout": 60.0, "slow": 5.0, "http_429": 1.0, "lookup_late": 30.0}

_SECRET_HEADERS = re.compile(r"(?i)authorization|cookie|.*(api-?key|token|secret|password).*")


@dataclass(frozen=True)
class Message:
    """An accepted message. `key` is the sender's own key, if the provider carries one."""

    id: str
    provider: str
    to: str
    at: datetime
    path: str
    headers: Mapping[str, str]
    body: Any
    key: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the message for scripts; credentials in headers are masked."""
        return {
            "id": self.id,
            "provider": self.provider,
            "to": self.to,
            "at": self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "path": self.path,
            "headers": {name: "***" if _SECRET_HEADERS.fullmatch(name) else v for name, v in self.headers.items()},
            "body": self.body,
        }


@dataclass
class Fault:
    """A fault for the next `left` matching calls (negative: for all). `call` is `send` or `look_up`."""

    provider: str
    fault: str
    left: int = 1
    seconds: float = 0.0
    to: str | None = None
    call: str = "send"
    #: For `refused`: Meta's code and subcode.
    code: int = 0
    subcode: int | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Fault:
        """Parse a posted fault. Raises `ValueError` with the problem."""
        provider, fault, match = body.get("provider"), body.get("fault"), body.get("match") or {}
        if provider not in PROVIDER_NAMES:
            raise ValueError(f"provider must be one of {', '.join(PROVIDER_NAMES)}")
        if fault not in FAULTS:
            raise ValueError(f"fault must be one of {', '.join(FAULTS)}")
        times, seconds = body.get("times", 1), body.get("seconds", DEFAULT_SECONDS.get(str(fault), 0.0))
        if not isinstance(times, int) or times < 0 or not isinstance(seconds, (int, float)) or seconds < 0:
            raise ValueError("times and seconds must be numbers, 0 or more; times 0 means unlimited")
        if not isinstance(match, dict) or not {"to", "call"}.issuperset(match):
            raise ValueError('match must be an object with "to", and "call" (send or look_up)')
        code, subcode = body.get("code"), body.get("subcode")
        if fault == "refused" and (provider not in META or not isinstance(code, int)):
            raise ValueError("refused is a fault of facebook and instagram; it requires a code and may have a subcode")
        if fault in TEXT_GENERATOR_FAULTS and provider not in TEXT_PROVIDERS:
            raise ValueError(f"{fault} is a fault of {' and '.join(TEXT_PROVIDERS)}")
        if fault in LOOK_UP_FAULTS and (provider not in LOOK_UP_PROVIDERS or match.get("call") == "send"):
            raise ValueError(f"{fault} is a fault of look-ups at {' and '.join(LOOK_UP_PROVIDERS)}")
        if not isinstance(subcode, int | None):
            raise ValueError("subcode must be a number")
        default_call = "look_up" if fault in LOOK_UP_FAULTS else "send"
        left, to, call = times or -1, match.get("to"), match.get("call", default_call)
        return cls(str(provider), str(fault), left, float(seconds), to, call, code or 0, subcode)


@dataclass
class Store:
    """The sandbox's state."""

    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))
    faults: list[Fault] = field(default_factory=list)
    #: The author of each played comment, by the comment's id.
    commenters: dict[str, str] = field(default_factory=dict)
    #: The recipients whose listing has other records on its first page, until that page is asked for again.
    filled: set[str] = field(default_factory=set)

    def accept(self, message: Message) -> None:
        """Store a message."""
        self.messages.append(message)

    def list_messages(self, provider: str | None = None, to: str | None = None) -> list[dict[str, Any]]:
        """Return the accepted messages for scripts, oldest first."""
        return [
            message.to_dict()
            for message in list(self.messages)
            if provider in (None, message.provider) and to in (None, message.to)
        ]

    def find_message(self, message_id: str) -> Message | None:
        """Return the newest message with this provider id (with or without angle brackets) or sender's key."""
        bare = message_id.strip("<>")
        matches = (message for message in reversed(self.messages) if bare in (message.id.strip("<>"), message.key))
        return next(matches, None)

    def take_fault(self, provider: str, to: str, call: str = "send") -> Fault | None:
        """Return the oldest matching fault for this call and use it once; None if none matches."""
        for fault in self.faults:
            if fault.provider == provider and fault.call == call and fault.to in (None, to):
                fault.left -= 1
                if fault.left == 0:
                    self.faults.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Delete all of it."""
        self.filled.clear()
        self.messages.clear()
        self.faults.clear()
        self.commenters.clear()


def now() -> datetime:
    """Return the real time, as a provider would."""
    return datetime.now(UTC)
