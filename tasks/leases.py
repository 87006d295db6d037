"""Holds the leases of the executions that this process works on, and knows by its own clock when one ran out.

A thread extends them all in one statement, at a third of their length. Before a message is written to a socket the
sender asks `still_ours`: it compares monotonic time with the lease's end as this process knows it, so a process that
was stopped and woke again leaves instead of sending a second time (semantics, section 3).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from models.database import CONNECTION_ERRORS, connection
from models.ledger import extend_leases
from tasks.passage import Passage

log = structlog.get_logger(__name__)

#: Part of a lease that is never used for sending: the clocks' and the network's share.
MARGIN_SECONDS = 1.0
#: Longest time between two heartbeats.
LONGEST_BEAT_SECONDS = 10.0


class Leases:
    """The executions that this process holds, with the monotonic moment at which each lease ends."""

    def __init__(self, owner: str, lease_seconds: float) -> None:
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._held: dict[str, tuple[Passage, float]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="leases", daemon=True)
        self._thread.start()

    def hold(self, passage: Passage, asked_at: float) -> None:
        """Keep the lease alive from now on. `asked_at` is monotonic time from before the claim."""
        with self._lock:
            self._held[passage.execution_id] = (passage, asked_at + self._lease_seconds)

    def let_go(self, passage: Passage) -> None:
        """Keep it alive no longer: it was recorded as left, or is another's."""
        with self._lock:
            if self._is_newest(passage):
                del self._held[passage.execution_id]

    @contextmanager
    def holding(self, passage: Passage, asked_at: float) -> Iterator[None]:
        """Keep the lease alive while the block runs."""
        self.hold(passage, asked_at)
        try:
            yield
        finally:
            self.let_go(passage)

    def _is_newest(self, passage: Passage) -> bool:
        """Whether no later claim of this same process took the execution over from a thread that had stalled."""
        held = self._held.get(passage.execution_id)
        return held is not None and held[0] is passage

    def still_ours(self, passage: Passage) -> bool:
        """Whether a send may be written now."""
        with self._lock:
            return self._is_newest(passage) and time.monotonic() < self._held[passage.execution_id][1] - MARGIN_SECONDS

    def keep(self, passage: Passage) -> None:
        """Extend a lease that ran out by our clock while something was recorded, if nobody took it: a record may have
        waited for PostgreSQL, and what it announces has not happened yet."""
        if not self.still_ours(passage):
            self.extend()

    def held(self) -> list[Passage]:
        """The passages in progress."""
        with self._lock:
            return [passage for passage, _ in self._held.values()]

    def close(self) -> None:
        """Stop the heartbeat."""
        self._stopping.set()
        self._thread.join()

    def _beat(self) -> None:
        interval = min(LONGEST_BEAT_SECONDS, self._lease_seconds / 3)
        while not self._stopping.wait(interval):
            try:
                self.extend()
            except CONNECTION_ERRORS as error:
                log.warning("leases could not be extended", error=str(error).strip())

    def extend(self) -> None:
        """Extend every lease that is still ours; one that is not is left to run out here as well."""
        with self._lock:
            ids = list(self._held)
        if not ids:
            return
        asked_at = time.monotonic()
        with connection():
            kept = extend_leases(self._owner, ids, self._lease_seconds)
        with self._lock:
            for execution_id in kept:
                if execution_id in self._held:
                    self._held[execution_id] = (self._held[execution_id][0], asked_at + self._lease_seconds)
