"""A short cache of per-workspace reads, for callers that must not query PostgreSQL at every call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

#: Maximum age of a cached value; for switches five seconds are guaranteed.
MAX_AGE_SECONDS = 2.0
#: Workspaces cached by one process.
MAX_WORKSPACES = 10_000

Read = TypeVar("Read")


class RecentReads(Generic[Read]):
    """Results of `read` by workspace, each cached for `MAX_AGE_SECONDS`."""

    def __init__(self, read: Callable[[str], Read]) -> None:
        self._read = read
        self._entries: dict[str, tuple[float, Read]] = {}

    def __call__(self, workspace_id: str) -> Read:
        """Return the result of `read`, at most `MAX_AGE_SECONDS` old."""
        entry = self._entries.get(workspace_id)
        if entry is not None and time.monotonic() - entry[0] < MAX_AGE_SECONDS:
            return entry[1]
        if len(self._entries) >= MAX_WORKSPACES:
            self._entries.clear()
        value = self._read(workspace_id)
        self._entries[workspace_id] = time.monotonic(), value
        return value

    def forget(self, workspace_id: str) -> None:
        """Drop the cached value after a change."""
        self._entries.pop(workspace_id, None)
