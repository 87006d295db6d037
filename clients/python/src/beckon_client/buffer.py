"""A bounded buffer of entries, from which batches are taken in order.

An entry counts until it is settled (delivered or given up), so what is being sent takes room too. A full buffer takes
nothing new; it never drops what it has.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from beckon_client.entries import MAX_BATCH_BYTES, Entry


class Buffer:
    """Entries that wait, and the number of those that are being sent. Threads share it."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries, self._max_bytes = max_entries, max_bytes
        # Reentrant: a signal handler that empties the buffer may interrupt a call that holds it.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[Entry] = deque()
        self._held_entries = self._held_bytes = 0
        self._added = self._settled = 0
        self._is_urgent = self._is_closed = False

    def __len__(self) -> int:
        return self._held_entries

    def add(self, entry: Entry, max_block_seconds: float) -> bool:
        """Append the entry; False if there was no room in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(entry), max_block_seconds):
                return False
            self._waiting.append(entry)
            self._held_entries += 1
            self._held_bytes += len(entry.content)
            self._added += 1
            self._changed.notify_all()
            return True

    def _has_room(self, entry: Entry) -> bool:
        # An entry larger than the whole buffer still fits into an empty one.
        fits = self._held_bytes + len(entry.content) <= self._max_bytes or not self._held_entries
        return fits and self._held_entries < self._max_entries

    def take(self, max_entries: int, linger_seconds: float) -> list[Entry]:
        """The next batch. Waits for a first entry, then until the batch is full or `linger_seconds` have passed. Empty
        once the buffer is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            self._changed.wait_for(lambda: len(self._waiting) >= max_entries or self._is_urgent, linger_seconds)
            batch: list[Entry] = []
            size = 0
            while self._waiting and len(batch) < max_entries and size + len(self._waiting[0].content) < MAX_BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += len(batch[-1].content) + 1
            return batch

    def settle(self, entry: Entry) -> None:
        """Forget an entry that was taken."""
        with self._changed:
            self._held_entries -= 1
            self._held_bytes -= len(entry.content)
            self._settled += 1
            self._is_urgent = self._is_urgent and self._held_entries > 0
            self._changed.notify_all()

    def wait_until_settled(self, seconds: float) -> bool:
        """Wait for everything that was added before this call; False if it took longer."""
        with self._changed:
            added = self._added
            self._is_urgent = self._held_entries > 0
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled >= added, max(0.0, seconds))

    def close(self) -> None:
        """Let `take` end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def withdraw(self) -> list[Entry]:
        """Remove and return all entries that wait."""
        with self._changed:
            entries = list(self._waiting)
            self._waiting.clear()
            return entries


def compute_remaining(deadline: float) -> float:
    """Seconds until a time of the monotonic clock, at least 0."""
    return max(0.0, deadline - time.monotonic())
