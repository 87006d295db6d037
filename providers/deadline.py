"""Enforces a deadline on the whole response of a call, even if bytes keep arriving.

A socket's timeout restarts with every byte, so a receiver that sends one byte every few seconds could block a worker
for hours. One monitor thread per process shuts such sockets down; the reader then sees the connection end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

#: Interval of the checks, in seconds: a response may exceed its deadline by this much.
CHECK_INTERVAL_SECONDS = 0.25


@dataclass(eq=False)
class Deadline:
    """The deadline of one call. `socket` is set once the call has a connection."""

    at: float = float("inf")
    socket: socket.socket | None = field(default=None, repr=False)
    expired: bool = False

    def expire(self) -> None:
        """Shut the connection down while it is being read."""
        self.expired = True
        if self.socket is not None:
            # The plain socket's method: TLS's own would release state that the reading thread still uses.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class _DeadlineMonitor:
    """The deadlines of one process and the thread that checks them; it sleeps while there are none."""

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
                # Under the lock: a removed deadline must never end a connection that is in use again.
                for deadline in [candidate for candidate in self._deadlines if candidate.at < now]:
                    deadline.expire()
                    self._deadlines.discard(deadline)
            time.sleep(CHECK_INTERVAL_SECONDS)


_monitors: dict[int, _DeadlineMonitor] = {}


@contextlib.contextmanager
def enforce_deadline() -> Iterator[Deadline]:
    """Provide a deadline for the duration of the block; set `at` (monotonic) and `socket` inside it."""
    pid = os.getpid()
    monitor = _monitors.get(pid) or _monitors.setdefault(pid, _DeadlineMonitor())
    deadline = Deadline()
    monitor.add(deadline)
    try:
        yield deadline
    finally:
        monitor.remove(deadline)
