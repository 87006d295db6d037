"""The client for threads: `trigger` buffers and returns, `trigger_now` waits for the answer."""

from __future__ import annotations

import threading
import uuid
from types import TracebackType
from typing import Self, Unpack, cast

from beckon_client import process_exit
from beckon_client.configuration import Configuration, Options, read_key, read_url
from beckon_client.entries import TRIGGERS, Entry, build_entry
from beckon_client.immediate import deliver_now
from beckon_client.schema import AcceptedTrigger, Trigger, TriggerArguments
from beckon_client.sender import Sender, Statistics, close_within
from beckon_client.transport import Transport


class Client:
    """Sends triggers to one Beckon. Create one for the process and share it: it is safe for threads and forks.

    The URL and the key are the arguments, or `BECKON_URL` and `BECKON_API_KEY`. The other arguments are those of
    `Configuration`. Raises `InvalidConfigurationError`.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, **options: Unpack[Options]) -> None:
        self.configuration = Configuration(url=read_url(url), api_key=read_key(api_key), **options)
        self._transport = Transport(self.configuration)
        self._triggers = Sender(TRIGGERS, self.configuration, self._transport, self)
        process_exit.register(self)

    def __repr__(self) -> str:
        """The address and the counts; never the key."""
        return f"Client({self.configuration.url!r}, {self.statistics})"

    def trigger(self, type: str, **fields: Unpack[TriggerArguments]) -> str:
        """Buffer a trigger and return its idempotency key, which is made unless `idempotency_key` has it.

        Waits at most `max_block_seconds` for room. Raises `BufferFullError`, `InvalidTriggerError` and
        `ClientClosedError`; what Beckon answers later goes to `on_error`.
        """
        entry, key = build_trigger(type, fields)
        self._triggers.add(entry, self.configuration.max_block_seconds)
        return key

    def trigger_now(
        self, type: str, *, timeout: float | None = None, **fields: Unpack[TriggerArguments]
    ) -> AcceptedTrigger:
        """Send a trigger and return the answer with its executions, within `timeout` seconds (`now_seconds`).

        Raises `RejectedError`, which names the invalid fields, and `UnavailableError` if there is no answer in time.
        The trigger may have been accepted then; a call with the same `idempotency_key` does not start it twice.
        """
        entry, _ = build_trigger(type, fields)
        return self.send_trigger(entry, timeout, threading.Event())

    def send_trigger(self, entry: Entry, timeout: float | None, cancelled: threading.Event) -> AcceptedTrigger:
        """`trigger_now` of an entry that is ready; `cancelled` ends its retries."""
        seconds = self.configuration.now_seconds if timeout is None else timeout
        answer = deliver_now(self._transport, self.configuration, TRIGGERS.path, entry, seconds, cancelled)
        return cast(AcceptedTrigger, answer)

    def add_trigger(self, entry: Entry, max_block_seconds: float) -> None:
        """`trigger` of an entry that is ready."""
        self._triggers.add(entry, max_block_seconds)

    @property
    def statistics(self) -> Statistics:
        """What was accepted, was a duplicate, failed, and is buffered now."""
        return self._triggers.statistics

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything buffered so far is delivered or given up; False if `timeout` seconds
        (`now_seconds`) were not enough, and then it stays buffered."""
        return self._triggers.flush(self.configuration.now_seconds if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Flush within `timeout` seconds (`exit_seconds`), then take no more. What could not be delivered goes to
        `on_error`; False if there was any. The end of the process, a `with` block and SIGTERM close too."""
        process_exit.unregister(self)
        is_flushed = close_within([self._triggers], self.configuration.exit_seconds if timeout is None else timeout)
        self._transport.close()
        return is_flushed

    def reset_after_fork(self) -> None:
        """Start empty in a forked process, with connections of its own; its parent delivers what is buffered."""
        self._transport = Transport(self.configuration)
        self._triggers.reset(self._transport)

    def __enter__(self) -> Self:
        """The client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def build_trigger(type: str, fields: TriggerArguments) -> tuple[Entry, str]:
    """The entry of a trigger, and its idempotency key. Raises `TypeError` and `InvalidTriggerError`."""
    unexpected = fields.keys() - TriggerArguments.__annotations__.keys()
    if unexpected:
        raise TypeError(f"unexpected argument {min(unexpected)!r}")
    key = fields.get("idempotency_key") or uuid.uuid4().hex
    body = cast(Trigger, {"type": type, **{_to_camel_case(name): value for name, value in fields.items()}})
    body["idempotencyKey"] = key
    return build_entry(body), key


def _to_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
