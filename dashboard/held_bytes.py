"""Bounds the bytes of bodies that one key has in memory, or one address before a caller is known.

A webhook's body may have 5 MiB, and its signature can only be verified once it is read. A body that would exceed its
address's bound waits, unread, until an earlier one of that address is answered, so a provider's body is never refused
for the number of those beside it. A known caller's small bodies do not count. Each web process counts for itself.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

import flask

from dashboard.errors import RETRY_AFTER_SECONDS, ProblemError
from dashboard.proxies import read_client_network

#: Bytes of an address or a key at once: six of the largest webhooks.
MAX_BYTES = 32 * 1024 * 1024
#: A known caller's bodies up to this size are not counted.
SMALL_BYTES = 64 * 1024
#: Seconds that a body waits for its turn.
MAX_WAIT_SECONDS = 10.0


@dataclass(eq=False)
class _Waiter:
    size: int
    admitted: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Holder:
    held: int = 0
    waiting: deque[_Waiter] = field(default_factory=deque)


class HeldBytes:
    """The bytes held by each subject, and who waits for its turn, in the order of arrival."""

    def __init__(self, max_bytes: int, max_wait_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._max_wait_seconds = max_wait_seconds
        self._lock = threading.Lock()
        self._holders: dict[str, _Holder] = {}

    def take(self, subject: str, size: int) -> bool:
        """Hold `size` bytes, waiting for a turn; return False if it did not come in time. One alone always may."""
        with self._lock:
            holder = self._holders.setdefault(subject, _Holder())
            if not holder.waiting and self._has_room(holder, size):
                holder.held += size
                return True
            waiter = _Waiter(size)
            holder.waiting.append(waiter)
        waiter.admitted.wait(self._max_wait_seconds)
        with self._lock:
            if waiter.admitted.is_set():
                return True
            holder.waiting.remove(waiter)
            # Its size may have been what kept smaller ones behind it waiting.
            self._admit(subject, holder)
            return False

    def give_back(self, subject: str, size: int) -> None:
        """Release `size` bytes, and admit those whose turn it is."""
        with self._lock:
            holder = self._holders[subject]
            holder.held -= size
            self._admit(subject, holder)

    def _has_room(self, holder: _Holder, size: int) -> bool:
        return not holder.held or holder.held + size <= self._max_bytes

    def _admit(self, subject: str, holder: _Holder) -> None:
        while holder.waiting and self._has_room(holder, holder.waiting[0].size):
            waiter = holder.waiting.popleft()
            holder.held += waiter.size
            waiter.admitted.set()
        if not holder.held and not holder.waiting:
            del self._holders[subject]


def register(app: flask.Flask) -> None:
    """Bound the bodies of the application's requests."""
    app.extensions["held_bytes"] = HeldBytes(MAX_BYTES, MAX_WAIT_SECONDS)

    @app.teardown_request
    def give_back(_error: BaseException | None) -> None:
        held = flask.g.pop("held_body", None)
        if held is not None:
            app.extensions["held_bytes"].give_back(*held)


def hold_body(limit: int) -> None:
    """Hold the bytes of the current request's body, of which at most `limit` are read, until the request ends.

    Raises `ProblemError` 503 where the key or address has too much in progress for too long.
    """
    if "held_body" in flask.g:
        return
    length = flask.request.content_length
    size = limit if length is None else min(length, limit)
    if "caller" in flask.g and size <= SMALL_BYTES:
        return
    subject = flask.g.credential.hex() if "caller" in flask.g else read_client_network()
    if not flask.current_app.extensions["held_bytes"].take(subject, size):
        detail = "Too many large requests of this key or address are in progress. Nothing was read of this one."
        raise ProblemError(503, detail, retry_after=RETRY_AFTER_SECONDS)
    flask.g.held_body = (subject, size)
