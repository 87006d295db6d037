"""Parses one HTTP response, complete and bounded, with llhttp: Node's parser, from `httptools`.

It replaces the response class of the standard library's client, which parses headers with the e-mail parser: that was a
quarter of an outside call's processor time.
"""

from __future__ import annotations

import http.client
import socket

import httptools
from urllib3 import HTTPHeaderDict

#: Maximum bytes of a response's body that are read.
MAX_RESPONSE_BYTES = 1024 * 1024
#: Maximum bytes besides the body: headers, and the lengths of chunks.
MAX_OVERHEAD_BYTES = 256 * 1024

_CHUNK_BYTES = 65_536


class ParsedResponse:
    """One response.

    A 4xx that breaks off is still a rejection. A response above the maximum size is truncated.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._parser = httptools.HttpResponseParser(self)
        # Accept deviations from HTTP that do not make the end of the response ambiguous: no other parser reads it.
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
        """Read to the end or the maximum. Raises `OSError`, or `http.client.HTTPException` if it is invalid or cut."""
        try:
            self._read()
        except (OSError, http.client.HTTPException):
            if not 400 <= self.status < 500:
                raise
            self.truncated = True

    def _read(self) -> None:
        while not self._ended:
            chunk = self._sock.recv(_CHUNK_BYTES)
            if not chunk:
                self._handle_end_of_connection()
                return
            self._received += len(chunk)
            self._feed(chunk)
            if self._received - len(self.body) > MAX_OVERHEAD_BYTES:
                raise http.client.HTTPException("the headers are too large")
            if len(self.body) > MAX_RESPONSE_BYTES:
                self.truncated = True
                return

    def _feed(self, chunk: bytes) -> None:
        try:
            self._parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # Data after the end of the response makes the connection unusable, not the response.
            self.will_close = True
            if not self._ended:
                raise http.client.HTTPException(str(error)) from None

    def _handle_end_of_connection(self) -> None:
        if not self.status:
            raise http.client.RemoteDisconnected("the connection was closed without a response")
        has_length = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if has_length:
            raise http.client.IncompleteRead(bytes(self.body))

    # Callbacks of the parser

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
            # The final response follows.
            self.status = 0
            self.headers.clear()
        elif not self._ended:
            self._ended = True
            self.will_close = not self._parser.should_keep_alive()
