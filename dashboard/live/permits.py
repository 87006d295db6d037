"""Whether open streams may go on: a stream ends soon after its key or session does.

A permit stands for the credential that opened a stream. While streams are open, one statement every two seconds asks
for all permits of the process; a stream looks at its own permit at least once a second. While PostgreSQL cannot be
asked, streams stay open and get nothing, because their readings come from there too.
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

#: Seconds from one check of all permits to the next.
CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Grant:
    """What a stream needs: this credential (its hash), with this permission, in this workspace."""

    credential: bytes = field(repr=False)
    workspace_id: str
    permission: Permission


def find_valid_grants(grants: Collection[Grant]) -> set[Grant]:
    """Those of the grants that still hold."""
    valid = credential.find_valid({grant.credential for grant in grants})
    return {
        grant
        for grant in grants
        if (holder := valid.get(grant.credential)) is not None
        and holder.workspace_id == grant.workspace_id
        and grant.permission in (permissions_for_role(holder.role) if holder.role else holder.scopes)
    }


class Permit:
    """One stream's permit; valid while it is held, until a check says otherwise."""

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
    """The permits of every open stream of this process."""

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
        """A permit for one stream, which holds it while it is open."""
        return Permit(self, grant)

    def add(self, permit: Permit) -> None:
        """Check this permit from now on."""
        with self._lock:
            self._open.add(permit)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="permits", daemon=True)
                self._thread.start()

    def discard(self, permit: Permit) -> None:
        """Do not check this permit any more."""
        with self._lock:
            self._open.discard(permit)

    def close(self) -> None:
        """End the checks, and wait for one that is under way."""
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
