"""What a process read of a workspace a moment ago, for whoever must not ask PostgreSQL at every call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

#: So old may an answer be; for switches five seconds are promised (semantics, section 16).
SEEN_AFTER_SECONDS = 2.0
#: Workspaces remembered by one process.
MOST_REMEMBERED = 10_000

Read = TypeVar("Read")


class Seen(Generic[Read]):
    """Answers of `read` for a workspace, each kept for `SEEN_AFTER_SECONDS`."""

    def __init__(self, read: Callable[[str], Read]) -> None:
        self._read = read
        self._known: dict[str, tuple[float, Read]] = {}

    def __call__(self, workspace_id: str) -> Read:
        """What `read` answered, at most a moment ago."""
        found = self._known.get(workspace_id)
        if found is not None and time.monotonic() - found[0] < SEEN_AFTER_SECONDS:
            return found[1]
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        now = self._read(workspace_id)
        self._known[workspace_id] = time.monotonic(), now
        return now

    def forget(self, workspace_id: str) -> None:
        """It has changed: read it again."""
        self._known.pop(workspace_id, None)
