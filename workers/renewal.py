"""Renews the leadership's lease on a thread of its own, so that a job may take longer than the lease."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import structlog

from models import leadership
from models.database import CONNECTION_ERRORS
from models.fencing import LeadershipLost
from workers.watchdog import Watchdog

log = structlog.get_logger(__name__)

#: A renewal takes milliseconds; PostgreSQL ends it after the statement timeout of 30 seconds.
LIMIT_SECONDS = 60.0


class Renewal:
    """The renewals of one lease, during a `with` block."""

    def __init__(self, token: str, watchdog: Watchdog) -> None:
        self._token = token
        self._watchdog = watchdog
        self._is_lost = False
        self._renewed_at = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def __enter__(self) -> Renewal:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ending.set()
        # One that hangs ends with the process.
        self._thread.join(1.0)

    def is_overdue(self) -> bool:
        """Return whether the lease was not renewed in time, so that another scheduler may have taken it.

        Raises LeadershipLost once a renewal found that one has.
        """
        if self._is_lost:
            raise LeadershipLost("the lease was not renewed: another scheduler leads, or its row is gone")
        return time.monotonic() - self._renewed_at >= leadership.LEASE_SECONDS

    def _run(self) -> None:
        with self._watchdog.watch("renewal of the leadership", LIMIT_SECONDS) as activity:
            while not self._ending.wait(leadership.RENEWAL_SECONDS):
                activity.note_progress()
                self._renew()
                if self._is_lost:
                    return

    def _renew(self) -> None:
        try:
            self._is_lost = not leadership.renew(self._token)
        except CONNECTION_ERRORS as error:
            log.warning("the leadership cannot be renewed", error=str(error).strip())
            return
        self._renewed_at = time.monotonic()
