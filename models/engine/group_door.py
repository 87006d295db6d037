"""A door of the web process: concurrent requests share one write, and each returns once its own entry is durable.

The first request to arrive writes at once, so that a single one never waits. Those that arrive meanwhile wait, and the
first of them writes for all, after a moment in which those of the last write may come again: a commit costs more than
an entry of it. No thread of its own is needed: the primitives are those of `threading`, which work with threads and,
where gevent has patched them, with greenlets.

One entry that the database rejects fails alone: a rejected batch is halved until its entries are apart. What is waiting
is bounded in bytes, and in time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import peewee

from models.database import CONNECTION_ERRORS

#: Seconds that a write waits for as many entries as the last one had and left behind it.
COMPANY_SECONDS = 0.002

Item = TypeVar("Item")
Result = TypeVar("Result")


class DoorBusy(peewee.OperationalError):
    """Too much is waiting, or for too long: nothing of the entry was written. Handled like a server that is down."""


@dataclass(eq=False)
class _Entry(Generic[Item, Result]):
    """An entry that waits: `turn` is set once it is settled, or its thread is to write."""

    item: Item
    size: int
    turn: threading.Event = field(default_factory=threading.Event)
    writes: bool = False
    result: Result | None = None
    error: BaseException | None = None


class GroupDoor(Generic[Item, Result]):
    """Writes the items of concurrent callers together.

    `write` makes a list of items durable, all or none, and returns a result for each; it may be called again for items
    that it raised for. `after_write` is called after each batch, when its callers already have their results.
    """

    def __init__(
        self,
        write: Callable[[list[Item]], Sequence[Result]],
        *,
        measure: Callable[[Item], int],
        after_write: Callable[[], None] = lambda: None,
        max_batch_bytes: int = 1 << 20,
        max_waiting_bytes: int = 32 << 20,
        max_wait_seconds: float = 5.0,
    ) -> None:
        self._write = write
        self._measure = measure
        self._after_write = after_write
        self._max_batch_bytes = max_batch_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._max_wait_seconds = max_wait_seconds
        self._lock = threading.Lock()
        self._is_writing = False
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._waiting_bytes = 0
        #: How many entries a write waits for; one that is alone waits for nobody.
        self._company_size = 1
        self._has_company = threading.Event()

    def submit(self, item: Item) -> Result:
        """Return the item's result once it is durable. Raises `DoorBusy`, or what `write` raised for it."""
        entry: _Entry[Item, Result] = _Entry(item, self._measure(item))
        if not self._enter(entry) and not entry.turn.wait(self._max_wait_seconds):
            self._leave(entry)
        if entry.writes:
            self._write_batch()
        if entry.error is not None:
            raise entry.error
        return entry.result  # type: ignore[return-value]

    def _enter(self, entry: _Entry[Item, Result]) -> bool:
        """Add an entry; return whether its thread is to write at once."""
        with self._lock:
            if self._is_writing and self._waiting_bytes + entry.size > self._max_waiting_bytes:
                raise DoorBusy("too many requests wait to be stored")
            self._waiting.append(entry)
            self._waiting_bytes += entry.size
            entry.writes = not self._is_writing
            self._is_writing = True
            if len(self._waiting) >= self._company_size:
                self._has_company.set()
            return entry.writes

    def _leave(self, entry: _Entry[Item, Result]) -> None:
        """Give up waiting; an entry that is being written or is to write is waited for."""
        with self._lock:
            is_waiting = entry in self._waiting and not entry.writes
            if is_waiting:
                self._waiting.remove(entry)
                self._waiting_bytes -= entry.size
        if is_waiting:
            raise DoorBusy("the request waited too long to be stored")
        entry.turn.wait()

    def _write_batch(self) -> None:
        self._await_company()
        batch = self._take_batch()
        try:
            self._settle(batch)
        except BaseException as error:
            # The thread itself is ended, not the write: nobody must wait in vain.
            for entry in batch:
                entry.error = entry.error or error
            raise
        finally:
            self._pass_on(len(batch))
            for entry in batch:
                entry.turn.set()
        self._after_write()

    def _await_company(self) -> None:
        with self._lock:
            if len(self._waiting) >= self._company_size:
                return
            self._has_company.clear()
        self._has_company.wait(COMPANY_SECONDS)

    def _take_batch(self) -> list[_Entry[Item, Result]]:
        """Take the oldest entries up to the maximum size, and at least one."""
        batch: list[_Entry[Item, Result]] = []
        size = 0
        with self._lock:
            while self._waiting and (not batch or size + self._waiting[0].size <= self._max_batch_bytes):
                entry = self._waiting.popleft()
                size += entry.size
                batch.append(entry)
            self._waiting_bytes -= size
        return batch

    def _settle(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        """Write a batch, in halves if it is rejected, and settle each entry."""
        try:
            results = self._write([entry.item for entry in batch])
        except Exception as error:
            if len(batch) == 1 or isinstance(error, CONNECTION_ERRORS):
                for entry in batch:
                    entry.error = error
                return
            half = len(batch) // 2
            self._settle(batch[:half])
            self._settle(batch[half:])
            return
        for entry, result in zip(batch, results, strict=True):
            entry.result = result

    def _pass_on(self, written: int) -> None:
        """Have the first waiting thread write next."""
        with self._lock:
            # Clients that send one request after the other come again, and would else stay apart in two groups.
            self._company_size = written + len(self._waiting)
            self._is_writing = bool(self._waiting)
            if self._waiting:
                self._waiting[0].writes = True
                self._waiting[0].turn.set()
