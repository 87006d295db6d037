"""The client for threads. `trigger` and `track` buffer and return, `trigger_now` and `track_now` wait."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any, Self, Unpack, cast

from beckon_client import process_exit
from beckon_client.bodies import build_execution, build_trigger
from beckon_client.configuration import Configuration, Options, read_key, read_url
from beckon_client.entries import EXECUTIONS, TRIGGERS, Entry, Kind
from beckon_client.immediate import deliver_now
from beckon_client.schema import AcceptedTrigger, ExecutionArguments, TrackedExecution, TriggerArguments
from beckon_client.sender import Sender, Statistics, close_within, flush_within
from beckon_client.transport import Transport


class Client:
    """Sends triggers and tracked executions to one Beckon. Create one for the process and share it: it is safe for
    threads and forks.

    The URL and the key are the arguments, or `BECKON_URL` and `BECKON_API_KEY`. The other arguments are those of
    `Configuration`. Raises `InvalidConfigurationError`.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, **options: Unpack[Options]) -> None:
        self.configuration = Configuration(url=read_url(url), api_key=read_key(api_key), **options)
        self._transport = Transport(self.configuration)
        self._senders = {
            kind: Sender(kind, self.configuration, self._transport, self) for kind in (TRIGGERS, EXECUTIONS)
        }
        process_exit.register(self)

    def __repr__(self) -> str:
        """The address and the counts; never the key."""
        return f"Client({self.configuration.url!r}, {self.statistics})"

    def trigger(self, type: str, **fields: Unpack[TriggerArguments]) -> str:
        """Buffer a trigger and return its idempotency key, which is made unless `idempotency_key` has it.

        Waits at most `max_block_seconds` for room. Raises `BufferFullError`, `InvalidBodyError` and
        `ClientClosedError`; what Beckon answers later goes to `on_error`.
        """
        entry, key = build_trigger(type, fields)
        self.buffer_entry(TRIGGERS, entry, self.configuration.max_block_seconds)
        return key

    def trigger_now(
        self, type: str, *, timeout: float | None = None, **fields: Unpack[TriggerArguments]
    ) -> AcceptedTrigger:
        """Send a trigger and return the answer with its executions, within `timeout` seconds (`now_seconds`).

        Raises `RejectedError`, which names the invalid fields, and `UnavailableError` if there is no answer in time.
        The trigger may have been accepted then; a call with the same `idempotency_key` does not start it twice.
        """
        entry, _ = build_trigger(type, fields)
        return cast(AcceptedTrigger, self.deliver_entry(TRIGGERS, entry, timeout, threading.Event()))

    def track(self, workflow_id: str, **fields: Unpack[ExecutionArguments]) -> str:
        """Buffer a tracked execution and return its id, which is made unless `execution_id` has it; as `trigger`."""
        entry, execution_id = build_execution(workflow_id, fields)
        self.buffer_entry(EXECUTIONS, entry, self.configuration.max_block_seconds)
        return execution_id

    def track_now(
        self, workflow_id: str, *, timeout: float | None = None, **fields: Unpack[ExecutionArguments]
    ) -> TrackedExecution:
        """Send a tracked execution and return the answer; as `trigger_now`."""
        entry, _ = build_execution(workflow_id, fields)
        return cast(TrackedExecution, self.deliver_entry(EXECUTIONS, entry, timeout, threading.Event()))

    def buffer_entry(self, kind: Kind, entry: Entry, max_block_seconds: float) -> None:
        """Buffer an entry that is ready."""
        self._senders[kind].add(entry, max_block_seconds)

    def deliver_entry(
        self, kind: Kind, entry: Entry, timeout: float | None, cancelled: threading.Event
    ) -> dict[str, Any]:
        """The answer to an entry that is ready; `cancelled` ends its retries."""
        seconds = self.configuration.now_seconds if timeout is None else timeout
        return deliver_now(self._transport, self.configuration, kind.path, entry, seconds, cancelled)

    @property
    def statistics(self) -> Statistics:
        """What was accepted, was a duplicate, failed, and is buffered now."""
        return sum((sender.statistics for sender in self._senders.values()), Statistics())

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything buffered so far is delivered or given up; False if `timeout` seconds
        (`now_seconds`) were not enough, and then it stays buffered."""
        seconds = self.configuration.now_seconds if timeout is None else timeout
        return flush_within(list(self._senders.values()), seconds)

    def close(self, timeout: float | None = None) -> bool:
        """Flush within `timeout` seconds (`exit_seconds`), then take no more. What could not be delivered goes to
        `on_error`; False if there was any. The end of the process, a `with` block and SIGTERM close too."""
        process_exit.unregister(self)
        seconds = self.configuration.exit_seconds if timeout is None else timeout
        is_flushed = close_within(list(self._senders.values()), seconds)
        self._transport.close()
        return is_flushed

    def reset_after_fork(self) -> None:
        """Start empty in a forked process, with connections of its own; its parent delivers what is buffered."""
        self._transport = Transport(self.configuration)
        for sender in self._senders.values():
            sender.reset(self._transport)

    def __enter__(self) -> Self:
        """The client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
