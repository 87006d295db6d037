"""Holds the leases of this process's executions, and detects by its own clock when one has expired.

A heartbeat thread extends them all in one statement, at a third of their length. Before a message is written to a
socket, the sender calls `Leases.is_held`, which compares monotonic time with the lease's end as this process knows it.
A process that was suspended and resumed therefore stops instead of sending a second time.
"""

from __future__ import annotations

import threading
import time

import structlog

from models.database import CONNECTION_ERRORS, connection
from models.engine.group_commit import extend_leases
from tasks.runtime.claimed_execution import ClaimedExecution

log = structlog.get_logger(__name__)

#: The end of a lease in which nothing is sent: a margin for clocks and the network.
MARGIN_SECONDS = 1.0
#: Longest time between two heartbeats.
MAX_HEARTBEAT_SECONDS = 10.0


class Leases:
    """The executions that this process holds, with the monotonic time at which each lease ends."""

    def __init__(self, owner: str, lease_seconds: float) -> None:
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._held: dict[str, tuple[ClaimedExecution, float]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run_heartbeat, name="leases", daemon=True)
        self._thread.start()

    def hold(self, claimed: ClaimedExecution, requested_at: float) -> None:
        """Keep the lease alive from now on. `requested_at` is monotonic time from before the claim."""
        with self._lock:
            self._held[claimed.execution_id] = (claimed, requested_at + self._lease_seconds)

    def release(self, claimed: ClaimedExecution) -> None:
        """Stop extending the lease: its final state is recorded, or another process has claimed it."""
        with self._lock:
            if self._is_newest(claimed):
                del self._held[claimed.execution_id]

    def _is_newest(self, claimed: ClaimedExecution) -> bool:
        """Whether no later claim of this process has replaced `claimed`, whose thread may have stalled."""
        entry = self._held.get(claimed.execution_id)
        return entry is not None and entry[0] is claimed

    def is_held(self, claimed: ClaimedExecution) -> bool:
        """Whether the lease is held for long enough to write a send now."""
        with self._lock:
            return self._is_newest(claimed) and time.monotonic() < self._held[claimed.execution_id][1] - MARGIN_SECONDS

    def extend_all_if_expired(self, claimed: ClaimedExecution) -> None:
        """Extend all leases where that of `claimed` expired by this process's clock, unless another process took it.

        The record of an intent may have waited for PostgreSQL, and its outside call has not been made yet.
        """
        if not self.is_held(claimed):
            self.extend()

    def list_held(self) -> list[ClaimedExecution]:
        """Return the claimed executions in progress."""
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
        """Extend every lease that this process still owns; any other expires here as well."""
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
