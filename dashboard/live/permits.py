"""Permits of open streams: a stream ends within seconds after its key or session is revoked.

A permit represents the credential that opened a stream. While streams are open, one statement every two seconds checks
all permits of the process; a stream checks its own permit at least once a second. While PostgreSQL is unavailable,
streams stay open without data, because their readings come from PostgreSQL too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog

from dashboard.access import Permission, permissions_for_role
from models import credential
from models.database import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

#: Seconds between checks of all permits.
CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Grant:
    """The requirement of a stream: this credential (its hash), with this permission, in this workspace."""

    credential: bytes = field(repr=False)
    workspace_id: str
    permission: Permission


def find_valid_grants(grants: Collection[Grant]) -> set[Grant]:
    """The grants that are still valid."""
    valid = credential.find_valid({grant.credential for grant in grants})
    return {
        grant
        for grant in grants
        if (holder := valid.get(grant.credential)) is not None
        and holder.workspace_id == grant.workspace_id
        and grant.permission in (permissions_for_role(holder.role) if holder.role else holder.scopes)
    }


class Permit:
    """The permit of one stream; checked while the stream is open."""

    def __init__(self, permits: Permits, grant: Grant) -> None:
        self.grant = grant
        self.is_over = False
        self._permits = permits

    def __enter__(self) -> Permit:
        self._permits.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._permits.discard(self)


class Permits:
    """The permits of all open streams of this process."""

    def __init__(
        self,
        read: Callable[[Collection[Grant]], set[Grant]] = find_valid_grants,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._read = read
        self._check_seconds = check_seconds
        self._open: set[Permit] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def issue(self, grant: Grant) -> Permit:
        """A permit for one stream; enter it as a context manager while the stream is open."""
        return Permit(self, grant)

    def add(self, permit: Permit) -> None:
        """Check this permit from now on."""
        with self._lock:
            self._open.add(permit)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="permits", daemon=True)
                self._thread.start()

    def discard(self, permit: Permit) -> None:
        """Stop checking this permit."""
        with self._lock:
            self._open.discard(permit)

    def close(self) -> None:
        """Stop the checks, and wait for a running one."""
        self._closed.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._check_seconds):
            with self._lock:
                permits = list(self._open)
                if not permits:
                    self._thread = None
                    return
            self._check(permits)

    def _check(self, permits: list[Permit]) -> None:
        try:
            valid = self._read({permit.grant for permit in permits})
        except CONNECTION_ERRORS as error:
            log.warning("the permits of streams could not be checked", error=str(error).strip())
            return
        except Exception as error:
            log.error("the permits of streams could not be checked", exc_info=error)
            return
        for permit in permits:
            permit.is_over = permit.grant not in valid
