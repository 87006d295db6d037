"""Ends a connection whose answer takes too long altogether, however busily it drips.

A socket's timeout starts anew with every byte, so a receiver that sends one byte every few seconds could hold a worker
for hours. One watching thread a process shuts such sockets down; the reader then sees the connection end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

#: How often open calls are looked at, in seconds: so much later than asked may an answer be ended.
LOOK_EVERY_SECONDS = 0.25


@dataclass(eq=False)
class Limit:
    """A limit on one call. `socket` is known only once the call has a connection."""

    at: float = float("inf")
    socket: socket.socket | None = field(default=None, repr=False)
    passed: bool = False

    def end(self) -> None:
        """Shut the connection down under its reader."""
        self.passed = True
        if self.socket is not None:
            # The plain socket's method: TLS's own would let go of state that the reading thread still uses.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class _Watch:
    """The limits of one process and the thread that looks at them, which sleeps while there are none."""

    def __init__(self) -> None:
        self._limits: set[Limit] = set()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="answer-deadlines", daemon=True).start()

    def add(self, limit: Limit) -> None:
        with self._changed:
            if not self._limits:
                self._changed.notify()
            self._limits.add(limit)

    def remove(self, limit: Limit) -> None:
        with self._changed:
            self._limits.discard(limit)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._limits)
                now = time.monotonic()
                # Under the lock: a limit that was removed must never end a connection that is used again.
                for limit in [one for one in self._limits if one.at < now]:
                    limit.end()
                    self._limits.discard(limit)
            time.sleep(LOOK_EVERY_SECONDS)


_watches: dict[int, _Watch] = {}


@contextlib.contextmanager
def watched() -> Iterator[Limit]:
    """A limit that holds for as long as the block lasts; set `at` (monotonic) and `socket` inside it."""
    pid = os.getpid()
    watch = _watches.get(pid) or _watches.setdefault(pid, _Watch())
    limit = Limit()
    watch.add(limit)
    try:
        yield limit
    finally:
        watch.remove(limit)
