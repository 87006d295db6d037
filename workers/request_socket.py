"""How a web process reads requests: a slow body gets 408, an endless one is not read, and no sender keeps the process.

A body has `FREE_SECONDS`, and a second more for each `BYTES_PER_SECOND` that arrived; a pause has `FREE_SECONDS` too.
Only reading counts: neither the time that the application takes, nor streams, whose requests have no body.

What the application left unread is discarded, so that the client reads its response, up to `MAX_UNREAD_BYTES`. A
sender that is faster than this process would keep it reading, because gevent switches only where it must wait. So
others have a turn after each `TURN_BYTES`, and earlier where the bytes are much work, as tiny chunks are. A large body
is read at 50 MB a second at most, which leaves them the processor.
"""

from __future__ import annotations

import errno
import time
from typing import Any

import gevent
from werkzeug.exceptions import RequestTimeout

#: Seconds that every body has, and that a client may pause in it.
FREE_SECONDS = 20.0
#: The least speed of a body that takes longer.
BYTES_PER_SECOND = 8 * 1024
#: The most bytes that are discarded after a response; the connection of a longer body is closed.
MAX_UNREAD_BYTES = 8 * 1024 * 1024
#: Bytes after which others have their turn, or seconds of the thread's work, and the seconds of a turn once a body is
#: large.
TURN_BYTES = 256 * 1024
WORK_SECONDS = 0.005
TURN_SECONDS = 0.005
LARGE_BYTES = 1024 * 1024


def compute_wait(elapsed: float, received: int) -> float:
    """Compute the seconds to wait for the next bytes, `elapsed` seconds after the first wait; 0 or less is too late."""
    return min(FREE_SECONDS, FREE_SECONDS + received / BYTES_PER_SECOND - elapsed)


class RequestSocket:
    """The socket of a connection, as gunicorn's reader uses it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._has_response = False
        self._began: float | None = None
        self._received = 0
        self._since_turn = 0
        self._turn_ended = time.thread_time()

    def begin_request(self) -> None:
        """From now on the application reads the body of a request."""
        self._has_response, self._began, self._received = False, None, 0

    def end_request(self) -> None:
        """From now on the rest of that body is discarded, and the next request is read."""
        self._has_response, self._received = True, 0

    def recv(self, size: int) -> bytes:
        """Return the next bytes. Raises `RequestTimeout` for a slow body, and a reset for one that goes on too long
        after its response; gunicorn closes the connection after both."""
        data = self._receive_rest(size) if self._has_response else self._receive_body(size)
        self._received += len(data)
        self._give_turn(len(data))
        return data

    def _receive_rest(self, size: int) -> bytes:
        if self._received > MAX_UNREAD_BYTES:
            raise ConnectionResetError(errno.ECONNRESET, "the rest of the body is too long")
        return bytes(self._connection.recv(size))

    def _receive_body(self, size: int) -> bytes:
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        error = RequestTimeout("The body of the request arrived too slowly.")
        seconds = compute_wait(now - self._began, self._received)
        if seconds <= 0:
            raise error
        with gevent.Timeout(seconds, error):
            return bytes(self._connection.recv(size))

    def _give_turn(self, received: int) -> None:
        self._since_turn += received
        if self._since_turn < TURN_BYTES and time.thread_time() - self._turn_ended < WORK_SECONDS:
            return
        self._since_turn = 0
        gevent.sleep(TURN_SECONDS if self._received > LARGE_BYTES else 0)
        self._turn_ended = time.thread_time()
