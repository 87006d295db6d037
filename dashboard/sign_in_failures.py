"""Writes failed sign-ins to the audit log of the person's workspaces, in a background thread.

The thread looks up the account, so that the response time does not reveal whether it exists. Per account, this process
writes up to five rows, then one a minute; each row has the number of attempts it stands for.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import structlog
from cachetools import FIFOCache

from ephemeral.rate_limits import RateLimit
from ephemeral.sign_ins import ProcessLimits
from models import audit, user
from models.database import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

#: Rows per account.
ROW_LIMIT = RateLimit("sign-in-rows", rate=1 / 60, burst=5)
#: Maximum failures in the queue, and maximum accounts with unwritten attempts.
MAX_WAITING = 1_000


@dataclass(frozen=True)
class Failure:
    """One failed attempt."""

    email: str
    address: str
    attempts: int = 1


class SignInFailures:
    """The queue of failures, and the thread that writes them."""

    def __init__(self) -> None:
        self._limits = ProcessLimits()
        self._unwritten: FIFOCache[str, int] = FIFOCache(MAX_WAITING)
        self._waiting: deque[Failure] = deque(maxlen=MAX_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, email: str, address: str) -> None:
        """Record a failed attempt from this address; `email` may be unknown."""
        with self._lock:
            attempts = self._unwritten.pop(email, 0) + 1
            if self._limits.take(ROW_LIMIT, email):
                self._unwritten[email] = attempts
                return
            self._waiting.append(Failure(email, address, attempts))
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="sign-in failures", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Wait until the queue is written."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _write_all(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                failure = self._waiting.popleft()
            try:
                _write(failure)
            except CONNECTION_ERRORS as error:
                log.warning("a failed sign-in was not written", error=str(error).strip())
            except Exception as error:
                log.error("a failed sign-in was not written", exc_info=error)


def _write(failure: Failure) -> None:
    detail = {"address": failure.address, "attempts": failure.attempts}
    for member in user.list_memberships(failure.email):
        audit.record(member.workspace_id, audit.SYSTEM, "user.sign_in_failed", "user", member.user_id, detail)
