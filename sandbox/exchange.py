"""HTTP/1.1 as small as the sandbox needs it: reads one request, writes one answer, and can break off in between.

Written by hand because the point is to misbehave: to cut a connection before or after an answer, to stall, to send
garbage. One thread serves every connection, so that thousands of requests a second cost little.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

#: A larger request is refused.
LARGEST_BODY_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True)
class Asked:
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
            found = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass
class Answer:
    """What to write back. A dict or list becomes JSON, a text plain text."""

    status: int
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
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
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if self.status == 204 else content)


class Malformed(Exception):
    """What came is not a request that can be read."""


async def read(reader: asyncio.StreamReader) -> Asked | None:
    """The next request of a connection, or None when the other side has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise Malformed("headers too large") from error
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    parts = first.split(" ")
    if len(parts) != 3:
        raise Malformed(first)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    target = urlsplit(parts[1])
    query = dict(parse_qsl(target.query, keep_blank_values=True))
    return Asked(parts[0], target.path, query, headers, await _body(reader, headers))


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    length = headers.get("content-length") or "0"
    if not length.isdigit() or int(length) > LARGEST_BODY_BYTES or "transfer-encoding" in headers:
        raise Malformed("a Content-Length is needed, of at most 5 MiB")
    try:
        return await reader.readexactly(int(length))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Malformed("the body was cut off") from error


def cut(writer: asyncio.StreamWriter) -> None:
    """Break the connection at once, with a reset rather than an orderly close."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
