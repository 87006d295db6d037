"""HTTP/1.1 as small as the sandbox needs it: reads one request, writes one answer, and can break off in between.

Written by hand because the point is to misbehave: to cut a connection before or after an answer, to stall, to send
garbage. One thread serves every connection, so that thousands of requests a second cost little.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

#: A larger request is refused.
MAX_BODY_BYTES = 5 * 1024 * 1024
#: Headers that decide whether and how a request is read: one of each at most, so that all read the same.
_SINGLE_VALUE_HEADERS = frozenset(
    {"host", "origin", "sec-fetch-site", "content-type", "content-length", "transfer-encoding"}
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,10}")
#: A browser neither guesses another type nor gives the answer to a page of another origin.
_DEFAULT_HEADERS = ("X-Content-Type-Options: nosniff", "Cross-Origin-Resource-Policy: same-origin")


@dataclass(frozen=True)
class Request:
    """A request. Header names are in lower case; `path` is as it was written, still percent-encoded."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def segments(self) -> list[str]:
        """The parts of the path, decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, `{}` where it is something else."""
        try:
            parsed = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}


@dataclass
class HttpResponse:
    """What to write back. A dict or list becomes JSON, a text plain text."""

    status: int
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self, *, with_body: bool = True) -> bytes:
        """The answer as it is written; without its body where the request was HEAD."""
        is_text = isinstance(self.body, (str, bytes))
        content = self.body if isinstance(self.body, bytes) else None
        if content is None:
            content = (self.body if is_text else json.dumps(self.body)).encode()
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {self.status} {phrase}"]
        if self.status != 204:
            lines.append(f"Content-Type: {'text/plain; charset=utf-8' if is_text else 'application/json'}")
            lines.append(f"Content-Length: {len(content)}")
        lines += [*_DEFAULT_HEADERS, *(f"{name}: {value}" for name, value in self.headers.items())]
        has_body = with_body and self.status != 204
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (content if has_body else b"")


class MalformedRequest(Exception):
    """What came is not a request that can be read."""


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, or None when the other side has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise MalformedRequest("headers too large") from error
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
            raise MalformedRequest("a header is malformed, or is there twice")
        headers[lower] = value.strip()
    return headers


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = headers.get("content-length") or "0"
    if not _LENGTH.fullmatch(length) or int(length) > MAX_BODY_BYTES or "transfer-encoding" in headers:
        raise MalformedRequest("a Content-Length is needed, of at most 5 MiB")
    try:
        return await reader.readexactly(int(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise MalformedRequest("the body was cut off") from error


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """Break the connection at once, with a reset rather than an orderly close."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
