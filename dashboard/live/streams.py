"""A stream as a response of Server-Sent Events, unbuffered by proxies."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import flask

#: Seconds after which a client that reads nothing is disconnected.
SEND_TIMEOUT_SECONDS = 20.0
#: Bytes that the kernel buffers for a slow client; it skips the frames beyond them.
BUFFER_BYTES = 128 * 1024


def build_response(stream: Iterator[bytes]) -> flask.Response:
    """The response for a browser's EventSource."""
    connection: socket.socket | None = flask.request.environ.get("gunicorn.socket")
    response = flask.Response(
        stream if connection is None else _iter_with_timeout(stream, connection), mimetype="text/event-stream"
    )
    response.headers["Cache-Control"] = "no-cache, no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _iter_with_timeout(stream: Any, connection: socket.socket) -> Iterator[bytes]:
    """The stream, with a timeout for sending on its socket."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    connection.settimeout(SEND_TIMEOUT_SECONDS)
    try:
        yield from stream
    finally:
        stream.close()
        # Close the connection for reading: a stopping process need not wait for another request.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RD)
