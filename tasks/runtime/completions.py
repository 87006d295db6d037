"""Completes claimed executions after their final record is durable, so that executor threads need not wait for it.

After the last outside call two things remain: the lease is held until the record is durable, and the next
notification is enqueued after it, never before. One thread does both, in the order in which the group commit commits.
A process that dies in between leaves the same as one that dies before its final record: an execution whose lease
expires.
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

#: Handles the result of a final record; it may raise what the group commit raised. Returns the queue to notify and the
#: execution's id, or None where nothing follows.
CompletionCallback = Callable[[CommitFuture], "tuple[str, str] | None"]


class Completions:
    """The completion thread of a process and its queue of settled records."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[CommitFuture, CompletionCallback] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="completions", daemon=True)
        self._thread.start()

    def wrap(self, callback: CompletionCallback) -> Callable[[CommitFuture], None]:
        """Return the callback to submit with a record, so that `callback` runs on this thread with its result."""
        return lambda future: self._queue.put((future, callback))

    def close(self) -> None:
        """Handle every settled record, then end the thread. Close the group commit first."""
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
        """Return the other queued results, usually those of the same commit."""
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
        # The execution keeps its lease; once that expires, the sweep notifies again.
        log.exception("the completion of an execution failed")
        return None
