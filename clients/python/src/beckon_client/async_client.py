"""The client for asyncio: the same promises; no call blocks the event loop.

Delivery runs in the client's own threads, so it goes on while the event loop is busy and after it has ended.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

from beckon_client.bodies import build_execution, build_trigger
from beckon_client.client import Client
from beckon_client.configuration import Options
from beckon_client.entries import EXECUTIONS, TRIGGERS, Entry, Kind
from beckon_client.errors import BufferFullError
from beckon_client.schema import AcceptedTrigger, ExecutionArguments, TrackedExecution, TriggerArguments
from beckon_client.sender import Statistics

Result = TypeVar("Result")

#: How many immediate calls run at the same time; further ones wait for their turn.
MAX_CONCURRENT_CALLS = 8
#: How often a call that waits for room looks again.
ROOM_INTERVAL_SECONDS = 0.01


class AsyncClient:
    """Sends triggers and tracked executions to one Beckon from coroutines. The arguments are those of `Client`."""

    def __init__(self, url: str | None = None, api_key: str | None = None, **options: Unpack[Options]) -> None:
        self._client = Client(url, api_key, **options)
        #: Threads do not survive a fork, so each process has its own.
        self._calls: ThreadPoolExecutor | None = None
        self._process = os.getpid()

    def __repr__(self) -> str:
        """The address and the counts; never the key."""
        return f"Async{self._client!r}"

    async def trigger(self, type: str, **fields: Unpack[TriggerArguments]) -> str:
        """Buffer a trigger and return its idempotency key, as `Client.trigger`. A cancelled call buffers nothing."""
        entry, key = build_trigger(type, fields)
        await self._buffer(TRIGGERS, entry)
        return key

    async def trigger_now(
        self, type: str, *, timeout: float | None = None, **fields: Unpack[TriggerArguments]
    ) -> AcceptedTrigger:
        """Send a trigger and return the answer, as `Client.trigger_now`. Cancelling the call ends its retries; its
        current request may still be accepted."""
        entry, _ = build_trigger(type, fields)
        return cast(AcceptedTrigger, await self._deliver(TRIGGERS, entry, timeout))

    async def track(self, workflow_id: str, **fields: Unpack[ExecutionArguments]) -> str:
        """Buffer a tracked execution and return its id, as `Client.track`. A cancelled call buffers nothing."""
        entry, execution_id = build_execution(workflow_id, fields)
        await self._buffer(EXECUTIONS, entry)
        return execution_id

    async def track_now(
        self, workflow_id: str, *, timeout: float | None = None, **fields: Unpack[ExecutionArguments]
    ) -> TrackedExecution:
        """Send a tracked execution and return the answer, as `Client.track_now`; cancelled as `trigger_now`."""
        entry, _ = build_execution(workflow_id, fields)
        return cast(TrackedExecution, await self._deliver(EXECUTIONS, entry, timeout))

    async def _buffer(self, kind: Kind, entry: Entry) -> None:
        deadline = time.monotonic() + self._client.configuration.max_block_seconds
        while True:
            try:
                return self._client.buffer_entry(kind, entry, 0)
            except BufferFullError:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(ROOM_INTERVAL_SECONDS)

    async def _deliver(self, kind: Kind, entry: Entry, timeout: float | None) -> dict[str, Any]:
        cancelled = threading.Event()
        try:
            return await self._run(lambda: self._client.deliver_entry(kind, entry, timeout, cancelled))
        finally:
            cancelled.set()

    async def _run(self, call: Callable[[], Result]) -> Result:
        if self._calls is None or self._process != os.getpid():
            self._process = os.getpid()
            self._calls = ThreadPoolExecutor(MAX_CONCURRENT_CALLS, thread_name_prefix="beckon-client-now")
        return await asyncio.get_running_loop().run_in_executor(self._calls, call)

    @property
    def statistics(self) -> Statistics:
        """What was accepted, was a duplicate, failed, and is buffered now."""
        return self._client.statistics

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything buffered so far is delivered or given up, as `Client.flush`."""
        return await asyncio.to_thread(self._client.flush, timeout)

    async def close(self, timeout: float | None = None) -> bool:
        """Flush, then take no more, as `Client.close`."""
        is_flushed = await asyncio.to_thread(self._client.close, timeout)
        if self._calls is not None:
            self._calls.shutdown(wait=False)
        return is_flushed

    async def __aenter__(self) -> Self:
        """The client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()
