"""The messages between a web process and its parser process: a length, then that many bytes.

A request names a parser (`rules/parsers.py`) and its options and carries the bytes to parse; the answer is JSON. Both
sides are of the same program and version. Nothing is read that could execute.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rules.json_text import dump_exact_json, load_exact_json

_LENGTH = struct.Struct(">I")


class Request(NamedTuple):
    """What to parse, and how."""

    parser: str
    raw: bytes
    options: Mapping[str, Any]
    #: Seconds of processor time after which the process that parses is ended.
    cpu_seconds: float


def frame(body: bytes) -> bytes:
    """Return a message with its length before it."""
    return _LENGTH.pack(len(body)) + body


def read_frame(read: Callable[[int], bytes]) -> bytes | None:
    """Read one message by `read`, which returns fewer bytes than asked for only at the end; None at the end."""
    head = read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = read(length)
    return body if len(body) == length else None


def encode_request(request: Request) -> bytes:
    """Return the message of a request; the bytes to parse follow its names and are not encoded again."""
    return frame(dump_exact_json([request.parser, dict(request.options), request.cpu_seconds])) + frame(request.raw)


def read_request(read: Callable[[int], bytes]) -> Request | None:
    """Read a request as `encode_request` writes it; None at the end."""
    head, raw = read_frame(read), read_frame(read)
    if head is None or raw is None:
        return None
    parser, options, cpu_seconds = load_exact_json(head)
    return Request(parser, raw, options, cpu_seconds)
