"""The access of open streams: a stream ends within seconds after its key or session is revoked.

An access belongs to the credential that opened a stream. While streams are open, one statement every two seconds checks
the access of all streams of the process; a stream looks at its own at least once a second. While PostgreSQL is
unavailable, streams stay open without data, because their readings come from PostgreSQL too.
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

#: Seconds between checks of the access of all streams.
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


class StreamAccess:
    """The access of one stream; `is_revoked` is up to date while the stream is open."""

    def __init__(self, checker: StreamAccessChecker, grant: Grant) -> None:
        self.grant = grant
        self.is_revoked = False
        self._checker = checker

    def __enter__(self) -> StreamAccess:
        self._checker.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._checker.discard(self)


class StreamAccessChecker:
    """Checks the access of all open streams of this process."""

    def __init__(
        self,
        read: Callable[[Collection[Grant]], set[Grant]] = find_valid_grants,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._read = read
        self._check_seconds = check_seconds
        self._open: set[StreamAccess] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, grant: Grant) -> StreamAccess:
        """The access of one stream; enter it as a context manager while the stream is open."""
        return StreamAccess(self, grant)

    def add(self, access: StreamAccess) -> None:
        """Check this access from now on."""
        with self._lock:
            self._open.add(access)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="stream-access", daemon=True)
                self._thread.start()

    def discard(self, access: StreamAccess) -> None:
        """Stop checking this access."""
        with self._lock:
            self._open.discard(access)

    def close(self) -> None:
        """Stop the checks, and wait for a running one."""
        self._closed.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._check_seconds):
            with self._lock:
                streams = list(self._open)
                if not streams:
                    self._thread = None
                    return
            self._check(streams)

    def _check(self, streams: list[StreamAccess]) -> None:
        try:
            valid = self._read({access.grant for access in streams})
        except CONNECTION_ERRORS as error:
            log.warning("the access of streams could not be checked", error=str(error).strip())
            return
        except Exception as error:
            log.error("the access of streams could not be checked", exc_info=error)
            return
        for access in streams:
            access.is_revoked = access.grant not in valid
