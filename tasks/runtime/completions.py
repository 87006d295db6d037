"""Waits for the last record of a passage, so that the thread that made it can take up other work meanwhile.

A worker's thread must wait for a record before it touches the outside world, but after the last touch nothing hangs on
the thread any more: only that the lease is held until the record is durable, and that the next bell is rung after it,
never before. That is done here, in the order in which the ledger commits. A process that dies in between leaves what
one leaves that dies before its last record: an execution under a lease that runs out.
"""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable

import structlog

from models.engine.group_commit import CommitFuture
from tasks.runtime.broker import notify

log = structlog.get_logger(__name__)

#: What is to be done with a record's answer: it may raise what the ledger raised. It answers who goes on, if anybody
#: does: a queue and the execution whose bell is rung there.
CompletionCallback = Callable[[CommitFuture], "tuple[str, str] | None"]


class Completions:
    """One thread for a process, and what it waits for."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[CommitFuture, CompletionCallback] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="last-words", daemon=True)
        self._thread.start()

    def wrap(self, callback: CompletionCallback) -> Callable[[CommitFuture], None]:
        """What to hand in with a record, so that `follow` is called here with its answer."""
        return lambda future: self._queue.put((future, callback))

    def close(self) -> None:
        """See to what was answered, then end the thread; the ledger is closed before."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            ids_by_queue: dict[str, list[str]] = defaultdict(list)
            for future, callback in [first, *self._drain()]:
                notification = _run_callback(future, callback)
                if notification is not None:
                    ids_by_queue[notification[0]].append(notification[1])
            for queue_name, execution_ids in ids_by_queue.items():
                notify(queue_name, execution_ids)

    def _drain(self) -> list[tuple[CommitFuture, CompletionCallback]]:
        """What else the same commit answered."""
        items = []
        while not self._queue.empty():
            item = self._queue.get()
            if item is None:
                self._queue.put(None)
                break
            items.append(item)
        return items


def _run_callback(future: CommitFuture, callback: CompletionCallback) -> tuple[str, str] | None:
    try:
        return callback(future)
    except Exception:
        # The execution stays under its lease; when that has run out, the sweep has it taken up again.
        log.exception("the last record of a passage was refused")
        return None
