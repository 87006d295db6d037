"""Waits for the last record of a passage, so that the thread that made it can take up other work meanwhile.

A worker's thread must wait for a record before it touches the outside world, but after the last touch nothing hangs on
the thread any more: only that the lease is held until the record is durable, and that the next bell is rung after it,
never before. That is done here, in the order in which the ledger commits. A process that dies in between leaves what
one leaves that dies before its last record: an execution under a lease that runs out.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

import structlog

log = structlog.get_logger(__name__)

#: What is to be done with a record's answer: it may raise what the ledger raised.
Follow = Callable[["Future[bool]"], None]


class LastWords:
    """One thread for a process, and what it waits for."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Future[bool], Follow] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="last-words", daemon=True)
        self._thread.start()

    def expect(self, recorded: Future[bool], follow: Follow) -> None:
        """Call `follow` with `recorded` once it has its answer."""
        self._waiting.put((recorded, follow))

    def close(self) -> None:
        """See to what is still expected, then end the thread; the ledger is closed before."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (expected := self._waiting.get()) is not None:
            recorded, follow = expected
            recorded.exception()
            try:
                follow(recorded)
            except Exception:
                # The execution stays under its lease; when that has run out, the sweep has it taken up again.
                log.exception("the last record of a passage was refused")
