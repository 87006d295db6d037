"""Reads one HTTP answer, whole and bounded, by llhttp: Node's parser, as `httptools` brings it.

It stands in for the response class of the standard library's client, which reads headers with the e-mail parser: that
was a quarter of an outside call's processor time.
"""

from __future__ import annotations

import http.client
import socket
from typing import Any

import httptools
from urllib3 import HTTPHeaderDict

#: More than this is not read of any answer's body.
MAX_RESPONSE_BYTES = 1024 * 1024
#: Nor more than this of what is beside it: headers, and the lengths of chunks.
MAX_OVERHEAD_BYTES = 256 * 1024

_CHUNK_BYTES = 65_536


class ParsedResponse:
    """One answer, and what `http.client.HTTPConnection` asks of a response.

    A refusal (4xx) that breaks off is still a refusal; an answer that is larger than is read is cut short as well.
    """

    def __init__(self, sock: socket.socket, *_: Any, **__: Any) -> None:
        self._sock = sock
        self._parser = httptools.HttpResponseParser(self)
        # Of what is not quite HTTP all that leaves no doubt where the answer ends: nobody else reads behind us.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_chunked_length=True, lenient_optional_cr_before_lf=True
        )
        self._ended = False
        self._received = 0
        self.status = 0
        self.headers = HTTPHeaderDict()
        self.body = bytearray()
        self.truncated = False
        #: Whether the connection cannot be used again.
        self.will_close = True

    def begin(self) -> None:
        """Read it to its end or its bound. `http.client.HTTPException` where it is none, or breaks off; `OSError`."""
        try:
            self._read()
        except (OSError, http.client.HTTPException):
            if not 400 <= self.status < 500:
                raise
            self.truncated = True

    def isclosed(self) -> bool:
        """Nothing is left to read."""
        return True

    def close(self) -> None:
        """Nothing is kept open."""

    def _read(self) -> None:
        while not self._ended:
            chunk = self._sock.recv(_CHUNK_BYTES)
            if not chunk:
                self._handle_end_of_connection()
                return
            self._received += len(chunk)
            self._feed(chunk)
            if self._received - len(self.body) > MAX_OVERHEAD_BYTES:
                raise http.client.HTTPException("more headers than are read")
            if len(self.body) > MAX_RESPONSE_BYTES:
                self.truncated = True
                return

    def _feed(self, chunk: bytes) -> None:
        try:
            self._parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # What follows the answer's end makes the connection useless, not the answer.
            self.will_close = True
            if not self._ended:
                raise http.client.HTTPException(str(error)) from None

    def _handle_end_of_connection(self) -> None:
        if not self.status:
            raise http.client.RemoteDisconnected("the connection was closed without an answer")
        has_length = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if has_length:
            raise http.client.IncompleteRead(bytes(self.body))

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._ended:
            self.will_close = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._ended:
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if not self._ended:
            self.status = self._parser.get_status_code()

    def on_body(self, chunk: bytes) -> None:
        if not self._ended:
            self.body += chunk

    def on_message_complete(self) -> None:
        if 100 <= self.status < 200:
            # The real one is still to come.
            self.status = 0
            self.headers.clear()
        elif not self._ended:
            self._ended = True
            self.will_close = not self._parser.should_keep_alive()
