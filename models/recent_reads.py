"""A short cache of per-workspace reads, for callers that must not query PostgreSQL at every call."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import TTLCache

#: Maximum age of a cached value; for switches five seconds are guaranteed.
MAX_AGE_SECONDS = 2.0
#: Workspaces cached by one process.
MAX_WORKSPACES = 10_000

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
