"""A minimal HTTP/1.1 server: reads one request, writes one response, and can break off at any point.

It is hand-written because the sandbox must misbehave: cut a connection before or after a response, stall, or send
garbage. One thread serves all connections, so thousands of requests per second cost little.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from rules.json_text import dump_json, load_json

#: Maximum bytes of a request's body.
MAX_BODY_BYTES = 5 * 1024 * 1024
#: Headers that decide whether and how a request is read; they must be unique, so that the request is unambiguous.
_SINGLE_VALUE_HEADERS = frozenset(
    {"host", "origin", "sec-fetch-site", "content-type", "content-length", "transfer-encoding"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,10}")
#: Prevent browsers from guessing another type and from passing the response to a page of another origin.
_DEFAULT_HEADERS = ("X-Content-Type-Options: nosniff", "Cross-Origin-Resource-Policy: same-origin")


@dataclass(frozen=True)
class Request:
    """A request. Header names are in lower case; `path` is still percent-encoded."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def segments(self) -> list[str]:
        """The parts of the path, decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    @property
    def media_type(self) -> str:
        """The type of the body without its parameters, in lower case; "" if the request has none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> dict[str, Any]:
        """Parse the body as a JSON object; `{}` if it is anything else."""
        return self._parse_object() or {}

    @property
    def is_json_object(self) -> bool:
        """Whether the body is a JSON object."""
        return self._parse_object() is not None

    def _parse_object(self) -> dict[str, Any] | None:
        try:
            parsed = load_json(self.body)
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else None


@dataclass
class HttpResponse:
    """A response. A dict or list as the body becomes JSON, a string plain text."""

    status: int
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)
    #: The body's type, where it is not that of its kind.
    content_type: str | None = None

    def encode(self, *, with_body: bool = True) -> bytes:
        """Encode the response; without the body for a HEAD request."""
        is_text = isinstance(self.body, (str, bytes))
        content = self.body if isinstance(self.body, bytes) else None
        if content is None:
            content = (self.body if is_text else dump_json(self.body)).encode()
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        if self.status != 204:
            kind = "text/plain; charset=utf-8" if is_text else "application/json"
            lines.append(f"Content-Type: {self.content_type or kind}")
            lines.append(f"Content-Length: {len(content)}")
        lines += [*_DEFAULT_HEADERS, *(f"{name}: {value}" for name, value in self.headers.items())]
        has_body = with_body and self.status != 204
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (content if has_body else b"")


class MalformedRequest(Exception):
    """The received bytes are not a valid request."""


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read the next request of a connection; None if the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedRequest("the headers are too large") from error
    request_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
    parts = request_line.split(" ")
    if len(parts) != 3:
        raise MalformedRequest(request_line)
    headers = _parse_headers(lines)
    if not parts[1].startswith("/"):
        raise MalformedRequest("the target must be a path")
    path, _, query = parts[1].partition("?")
    fields = dict(parse_qsl(query, keep_blank_values=True))
    return Request(parts[0], path, fields, headers, await _read_body(reader, headers))


def _parse_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        lower = name.lower()
        if not colon or not _HEADER_NAME.fullmatch(name) or (lower in headers and lower in _SINGLE_VALUE_HEADERS):
            raise MalformedRequest("a header is malformed or duplicated")
        headers[lower] = value.strip()
    return headers


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = headers.get("content-length") or "0"
    if not _LENGTH.fullmatch(length) or int(length) > MAX_BODY_BYTES or "transfer-encoding" in headers:
        raise MalformedRequest("Content-Length must be at most 5 MiB, without Transfer-Encoding")
    try:
        return await reader.readexactly(int(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise MalformedRequest("the body was cut off") from error


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Abort the connection with a reset instead of an orderly close."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
