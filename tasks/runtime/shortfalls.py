"""Claims again where a notification was consumed and fewer executions were claimed than were notified.

A notification stands for one due execution of its queue, not for its own. If another process has just locked the rows
whose turn it was, the claim finds less, and an execution remains due that no notification stands for. It would wait for
the sweep, and a calm workspace beside a flood would wait with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from rules.stages import Queue

log = structlog.get_logger(__name__)

#: How long other claims may hold their locks before the next look.
RETRY_SECONDS = 0.1
#: After so many looks without an execution, the notifications were duplicates.
MAX_EMPTY_LOOKS = 3
#: Maximum number of executions that one look claims.
MAX_CLAIMS = 64


class Shortfalls:
    """The claims that are missing in one queue, and the thread that makes up for them.

    `claim` claims up to that many due executions, starts them, and returns how many there were.
    """

    def __init__(self, queue: Queue, claim: Callable[[int], int]) -> None:
        self._claim = claim
        self._missing = 0
        self._lock = threading.Lock()
        self._added = threading.Event()
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name=f"{queue}-shortfalls", daemon=True).start()

    @property
    def is_idle(self) -> bool:
        """Whether no claim is missing."""
        return not self._missing

    def add(self, count: int) -> None:
        """Note that `count` fewer executions were claimed than were notified."""
        with self._lock:
            self._missing += count
        self._added.set()

    def close(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._added.set()

    def _run(self) -> None:
        while self._added.wait() and not self._stopping.is_set():
            self._added.clear()
            try:
                self._make_up()
            except Exception:
                # The sweep notifies again whatever remains due.
                log.exception("executions whose notification was lost could not be claimed")

    def _make_up(self) -> None:
        empty_looks = 0
        while self._missing and empty_looks < MAX_EMPTY_LOOKS and not self._stopping.wait(RETRY_SECONDS):
            claimed = self._claim(min(self._missing, MAX_CLAIMS))
            empty_looks = 0 if claimed else empty_looks + 1
            with self._lock:
                self._missing = max(0, self._missing - claimed)
        with self._lock:
            self._missing = 0
