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
from models.engine.group_commit import extend_leases
from tasks.runtime.claimed_execution import ClaimedExecution

log = structlog.get_logger(__name__)

#: Part of a lease that is never used for sending: the clocks' and the network's share.
MARGIN_SECONDS = 1.0
#: Longest time between two heartbeats.
MAX_HEARTBEAT_SECONDS = 10.0


class Leases:
    """The executions that this process holds, with the monotonic moment at which each lease ends."""

    def __init__(self, owner: str, lease_seconds: float) -> None:
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._held: dict[str, tuple[ClaimedExecution, float]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_heartbeat, name="leases", daemon=True)
        self._thread.start()

    def hold(self, claimed: ClaimedExecution, requested_at: float) -> None:
        """Keep the lease alive from now on. `asked_at` is monotonic time from before the claim."""
        with self._lock:
            self._held[claimed.execution_id] = (claimed, requested_at + self._lease_seconds)

    def release(self, claimed: ClaimedExecution) -> None:
        """Keep it alive no longer: it was recorded as left, or is another's."""
        with self._lock:
            if self._is_newest(claimed):
                del self._held[claimed.execution_id]

    @contextmanager
    def holding(self, claimed: ClaimedExecution, requested_at: float) -> Iterator[None]:
        """Keep the lease alive while the block runs."""
        self.hold(claimed, requested_at)
        try:
            yield
        finally:
            self.release(claimed)

    def _is_newest(self, claimed: ClaimedExecution) -> bool:
        """Whether no later claim of this same process took the execution over from a thread that had stalled."""
        entry = self._held.get(claimed.execution_id)
        return entry is not None and entry[0] is claimed

    def is_held(self, claimed: ClaimedExecution) -> bool:
        """Whether a send may be written now."""
        with self._lock:
            return self._is_newest(claimed) and time.monotonic() < self._held[claimed.execution_id][1] - MARGIN_SECONDS

    def extend_if_expired(self, claimed: ClaimedExecution) -> None:
        """Extend a lease that ran out by our clock while something was recorded, if nobody took it: a record may have
        waited for PostgreSQL, and what it announces has not happened yet."""
        if not self.is_held(claimed):
            self.extend()

    def list_held(self) -> list[ClaimedExecution]:
        """The passages in progress."""
        with self._lock:
            return [claimed for claimed, _ in self._held.values()]

    def close(self) -> None:
        """Stop the heartbeat."""
        self._stopping.set()
        self._thread.join()

    def _run_heartbeat(self) -> None:
        interval = min(MAX_HEARTBEAT_SECONDS, self._lease_seconds / 3)
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
        requested_at = time.monotonic()
        with connection():
            extended_ids = extend_leases(self._owner, ids, self._lease_seconds)
        with self._lock:
            for execution_id in extended_ids:
                if execution_id in self._held:
                    self._held[execution_id] = (self._held[execution_id][0], requested_at + self._lease_seconds)
