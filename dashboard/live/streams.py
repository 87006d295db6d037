"""A stream as an answer: Server-Sent Events on the port of everything else, with nobody between us and the browser
keeping them back.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import flask

#: Whoever takes nothing for so long has gone, whatever his system says.
SEND_TIMEOUT_SECONDS = 20.0
#: What the kernel keeps for one who is slow; the rest is not made for him.
BUFFER_BYTES = 128 * 1024


def build_response(stream: Iterator[bytes]) -> flask.Response:
    """The stream, as the browser's EventSource reads it."""
    connection: socket.socket | None = flask.request.environ.get("gunicorn.socket")
    response = flask.Response(
        stream if connection is None else _iter_with_timeout(stream, connection), mimetype="text/event-stream"
    )
    response.headers["Cache-Control"] = "no-cache, no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _iter_with_timeout(stream: Any, connection: socket.socket) -> Iterator[bytes]:
    """The same, for a line on which nothing waits for ever."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    connection.settimeout(SEND_TIMEOUT_SECONDS)
    try:
        yield from stream
    finally:
        stream.close()
        # No other request comes on this line: a process that stops need not wait for one.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)
