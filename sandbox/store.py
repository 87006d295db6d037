"""What the sandbox accepted, in order, and the faults that it has been asked to play."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rules.channels import CONVERSATION_CHANNELS, PROVIDER_NAMES, TEXT_PROVIDERS

#: The oldest messages are forgotten past this many.
MAX_MESSAGES = 50_000
#: What those that write do besides: a safety filter's no, no text at all, a text that ran out of tokens.
TEXT_GENERATOR_FAULTS = ("blocked", "empty", "cut_short")
FAULTS = (
    "http_500", "http_429", "timeout", "reset_before", "reset_after", "slow", "bad_json", "auth", "refused",
    *TEXT_GENERATOR_FAULTS,
)  # fmt: skip

#: Meta's two channels.
META = CONVERSATION_CHANNELS
#: Seconds that a fault takes where it does not say; for `http_429` the wait that is asked for.
DEFAULT_SECONDS = {"timeout": 60.0, "slow": 5.0, "http_429": 1.0}

_SECRET_HEADERS = re.compile(r"(?i)authorization|cookie|.*(api-?key|token|secret|password).*")


@dataclass(frozen=True)
class Message:
    """A message that the sandbox accepted. `key` is the sender's own key, where the provider carries one."""

    id: str
    provider: str
    to: str
    at: datetime
    path: str
    headers: Mapping[str, str]
    body: Any
    key: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As scripts see it; credentials in headers are masked."""
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
    """A way to fail, for the next `left` calls that fit (0 from the start: for all). `call` is `send` or `look_up`."""

    provider: str
    fault: str
    left: int = 1
    seconds: float = 0.0
    to: str | None = None
    call: str = "send"
    #: Of `refused`: Meta's code and subcode.
    code: int = 0
    subcode: int | None = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Fault:
        """Read a posted fault; `ValueError` names what is wrong with it."""
        provider, fault, match = body.get("provider"), body.get("fault"), body.get("match") or {}
        if provider not in PROVIDER_NAMES:
            raise ValueError(f"provider must be one of {', '.join(PROVIDER_NAMES)}")
        if fault not in FAULTS:
            raise ValueError(f"fault must be one of {', '.join(FAULTS)}")
        times, seconds = body.get("times", 1), body.get("seconds", DEFAULT_SECONDS.get(str(fault), 0.0))
        if not isinstance(times, int) or times < 0 or not isinstance(seconds, (int, float)) or seconds < 0:
            raise ValueError("times and seconds must be numbers, 0 or more; times 0 means forever")
        if not isinstance(match, dict) or not {"to", "call"}.issuperset(match):
            raise ValueError('match is an object with "to", and "call" (send or look_up)')
        code, subcode = body.get("code"), body.get("subcode")
        if fault == "refused" and (provider not in META or not isinstance(code, int)):
            raise ValueError("refused is a fault of facebook and instagram, with their code and perhaps a subcode")
        if fault in TEXT_GENERATOR_FAULTS and provider not in TEXT_PROVIDERS:
            raise ValueError(f"{fault} is a fault of {' and '.join(TEXT_PROVIDERS)}")
        if not isinstance(subcode, int | None):
            raise ValueError("subcode must be a number")
        left, to, call = times or -1, match.get("to"), match.get("call", "send")
        return cls(str(provider), str(fault), left, float(seconds), to, call, code or 0, subcode)


@dataclass
class Store:
    """The sandbox's whole memory."""

    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES))
    faults: list[Fault] = field(default_factory=list)
    #: Who wrote each comment that was played.
    commenters: dict[str, str] = field(default_factory=dict)

    def accept(self, message: Message) -> None:
        """Keep a message; it is there for scripts from now on."""
        self.messages.append(message)

    def list_messages(self, provider: str | None = None, to: str | None = None) -> list[dict[str, Any]]:
        """The accepted messages, oldest first, as scripts see them."""
        return [
            message.to_dict()
            for message in list(self.messages)
            if provider in (None, message.provider) and to in (None, message.to)
        ]

    def find_message(self, message_id: str) -> Message | None:
        """The newest message with this id, the provider's (with or without angle brackets) or the sender's key."""
        bare = message_id.strip("<>")
        matches = (message for message in reversed(self.messages) if bare in (message.id.strip("<>"), message.key))
        return next(matches, None)

    def take_fault(self, provider: str, to: str, call: str = "send") -> Fault | None:
        """The fault to play on this call, used up by one; the oldest that fits."""
        for fault in self.faults:
            if fault.provider == provider and fault.call == call and fault.to in (None, to):
                fault.left -= 1
                if fault.left == 0:
                    self.faults.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        """Forget everything."""
        self.messages.clear()
        self.faults.clear()
        self.commenters.clear()


def now() -> datetime:
    """The real time, as a provider would have it."""
    return datetime.now(UTC)
