"""What a process read of a workspace a moment ago, for whoever must not ask PostgreSQL at every call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

#: So old may an answer be; for switches five seconds are promised (semantics, section 16).
MAX_AGE_SECONDS = 2.0
#: Workspaces remembered by one process.
MAX_WORKSPACES = 10_000

Read = TypeVar("Read")


class RecentReads(Generic[Read]):
    """Answers of `read` for a workspace, each kept for `SEEN_AFTER_SECONDS`."""

    def __init__(self, read: Callable[[str], Read]) -> None:
        self._read = read
        self._entries: dict[str, tuple[float, Read]] = {}

    def __call__(self, workspace_id: str) -> Read:
        """What `read` answered, at most a moment ago."""
        entry = self._entries.get(workspace_id)
        if entry is not None and time.monotonic() - entry[0] < MAX_AGE_SECONDS:
            return entry[1]
        if len(self._entries) >= MAX_WORKSPACES:
            self._entries.clear()
        value = self._read(workspace_id)
        self._entries[workspace_id] = time.monotonic(), value
        return value

    def forget(self, workspace_id: str) -> None:
        """It has changed: read it again."""
        self._entries.pop(workspace_id, None)
