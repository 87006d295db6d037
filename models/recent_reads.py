"""A short cache of per-workspace reads, for callers that must not query PostgreSQL at every call."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import TLRUCache, TTLCache

#: Maximum age of a cached value; for switches five seconds are guaranteed.
MAX_AGE_SECONDS = 2.0
#: Workspaces cached by one process.
MAX_WORKSPACES = 10_000
#: A read that takes longer is slow.
SLOW_SECONDS = 0.1
#: A slow read is reused for so many times as long as it took, and no longer than `MAX_REUSE_SECONDS`.
REUSE_FACTOR = 20
MAX_REUSE_SECONDS = 10.0

Read = TypeVar("Read")


class RecentReads(Generic[Read]):
    """Results of `read` by workspace, each cached for `MAX_AGE_SECONDS`."""

    def __init__(self, read: Callable[[str], Read]) -> None:
        self._read = read
        self._lock = Lock()
        self._results: TTLCache[str, Read] = TTLCache(MAX_WORKSPACES, MAX_AGE_SECONDS)

    def __call__(self, workspace_id: str) -> Read:
        """Return the result of `read`, at most `MAX_AGE_SECONDS` old."""
        with self._lock:
            cached = self._results.get(workspace_id)
        if cached is not None:
            return cached
        result = self._read(workspace_id)
        with self._lock:
            self._results[workspace_id] = result
        return result

    def forget(self, workspace_id: str) -> None:
        """Drop the cached value after a change."""
        with self._lock:
            self._results.pop(workspace_id, None)


class SlowReads(Generic[Read]):
    """Results of slow reads, each reused in proportion to its time, so that pages that poll keep PostgreSQL busy for a
    small part of the time only, however large the workspace is. A fast read is never reused."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: TLRUCache[Hashable, tuple[Read, float]] = TLRUCache(MAX_WORKSPACES, _compute_expiry)

    def get(self, key: Hashable, read: Callable[[], Read]) -> Read:
        """Return the result of `read`, or that of an earlier slow one with this key."""
        with self._lock:
            cached = self._results.get(key)
        if cached is not None:
            return cached[0]
        started_at = time.monotonic()
        result = read()
        took = time.monotonic() - started_at
        if took > SLOW_SECONDS:
            with self._lock:
                self._results[key] = (result, took)
        return result


def _compute_expiry(_key: Hashable, result: tuple[object, float], now: float) -> float:
    return now + min(REUSE_FACTOR * result[1], MAX_REUSE_SECONDS)
