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
CHECK_INTERVAL_SECONDS = 0.25


@dataclass(eq=False)
class Deadline:
    """A limit on one call. `socket` is known only once the call has a connection."""

    at: float = float("inf")
    socket: socket.socket | None = field(default=None, repr=False)
    expired: bool = False

    def expire(self) -> None:
        """Shut the connection down under its reader."""
        self.expired = True
        if self.socket is not None:
            # The plain socket's method: TLS's own would let go of state that the reading thread still uses.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class _DeadlineMonitor:
    """The limits of one process and the thread that looks at them, which sleeps while there are none."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="answer-deadlines", daemon=True).start()

    def add(self, deadline: Deadline) -> None:
        with self._changed:
            if not self._deadlines:
                self._changed.notify()
            self._deadlines.add(deadline)

    def remove(self, deadline: Deadline) -> None:
        with self._changed:
            self._deadlines.discard(deadline)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._deadlines)
                now = time.monotonic()
                # Under the lock: a limit that was removed must never end a connection that is used again.
                for deadline in [candidate for candidate in self._deadlines if candidate.at < now]:
                    deadline.expire()
                    self._deadlines.discard(deadline)
            time.sleep(CHECK_INTERVAL_SECONDS)


_monitors: dict[int, _DeadlineMonitor] = {}


@contextlib.contextmanager
def enforce_deadline() -> Iterator[Deadline]:
    """A limit that holds for as long as the block lasts; set `at` (monotonic) and `socket` inside it."""
    pid = os.getpid()
    monitor = _monitors.get(pid) or _monitors.setdefault(pid, _DeadlineMonitor())
    deadline = Deadline()
    monitor.add(deadline)
    try:
        yield deadline
    finally:
        monitor.remove(deadline)
