"""The one HTTP client of a process: pooled, bounded, and exact about how far a request got.

What an error means depends on the phase it strikes in. Before the first byte was written nothing can have been
accepted: `NetworkError`, safe to try again. After it, a call without an effect is `ProviderTimeout` or
`NetworkError`, while a send is `UnknownOutcome`: it may have been accepted, so nothing here ever sends it again.

A pooled connection that the server has closed meanwhile would turn a healthy send into an unknown one. So a
connection is reused only within `REUSE_SECONDS`, is looked at for a hang-up right before the write, and a write that
fails at its first byte counts as not written. No redirects, no retries, and no more than `LARGEST_ANSWER_BYTES`.
"""

from __future__ import annotations

import functools
import http.client
import logging
import os
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, NameResolutionError, SSLError
from urllib3.util import parse_url

from providers import deadline
from providers.answers import Answer, lost_answer
from providers.base import LeaseLost
from providers.reading import LARGEST_ANSWER_BYTES, Reading
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    NetworkError,
    ProviderTimeout,
)

#: An idle connection older than this is not reused: the shortest keep-alive in common use is 5 s (Node's).
REUSE_SECONDS = 4.0
#: Idle connections kept to one host; more may be open at once.
CONNECTIONS_PER_HOST = 64

# urllib3 warns about malformed answers, and notes each request, with the URL: for Slack and Discord the secret itself.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Call:
    """One request. `label` names the provider in messages; `effect` says that it does something outside."""

    label: str
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    effect: bool = False
    still_ours: Callable[[], bool] | None = field(default=None, repr=False)


class _Progress(threading.local):
    """How far this thread's present request has got; the connection below writes it, `exchange` reads it."""

    call: Call | None = None
    limit: deadline.Limit | None = None
    started = False
    written = False


_progress = _Progress()

#: Scheme, host and port of a server.
Place = tuple[str, str, int | None]


class Watched(HTTPConnection):
    """A connection that asks before it writes, and tells when it has written."""

    response_class = Reading  # type: ignore[assignment]
    _idle_since: float = 0.0

    def write(self, call: Call, target: str) -> None:
        """Write one request, over a new connection where the old one may be gone."""
        too_old = time.monotonic() - self._idle_since > REUSE_SECONDS
        if self.sock is not None and self._idle_since and (too_old or not self.is_connected):
            self.close()
        # The standard library's own: urllib3's adds what these requests, of bytes and without redirects, do not need.
        self.putrequest(call.method, target)
        if call.body is not None or call.method != "GET":
            self.putheader("Content-Length", str(len(call.body or b"")))
        if "User-Agent" not in call.headers:
            self.putheader("User-Agent", "Beckon")
        for name, value in call.headers.items():
            self.putheader(name, value)
        # With the headers in one write.
        self.endheaders(call.body)

    def answered(self) -> Reading:
        """The answer, read to its end."""
        if _progress.call is not None and _progress.limit is not None:
            _progress.limit.socket = self.sock
            _progress.limit.at = time.monotonic() + _progress.call.read_seconds
        read = cast(Reading, http.client.HTTPConnection.getresponse(self))
        self._idle_since = time.monotonic()
        return read

    def send(self, data: Any) -> None:
        if _progress.started:
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        call = _progress.call
        if call is not None and call.still_ours is not None and not call.still_ours():
            raise LeaseLost(f"the lease was lost before the request to {call.label} was written")
        _progress.started = True
        super().send(data)
        _progress.written = True


class WatchedTLS(Watched, HTTPSConnection):
    """The same over TLS."""


class Connections:
    """Idle connections by scheme, host and port: the one used last is used next, and too many are closed."""

    def __init__(self) -> None:
        self._idle: dict[Place, list[Watched]] = {}
        self._tls = tls_context()

    def take(self, place: Place) -> Watched:
        """An idle connection to this place, or a new one that has yet to connect."""
        try:
            return self._idle[place].pop()
        except (KeyError, IndexError):
            return self._new(place)

    def keep(self, place: Place, connection: Watched) -> None:
        """Have it used again: its answer was read to the end."""
        idle = self._idle.setdefault(place, [])
        if len(idle) < CONNECTIONS_PER_HOST:
            idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what is idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _new(self, place: Place) -> Watched:
        scheme, host, port = place
        return WatchedTLS(host, port, ssl_context=self._tls) if scheme == "https" else Watched(host, port)


_clients: dict[int, Connections] = {}


def client() -> Connections:
    """The process's connections. A forked child gets its own: two processes must never share one."""
    pid = os.getpid()
    # Without a lock, which a fork could copy while it is held; at worst two are made and one is dropped.
    return _clients.get(pid) or _clients.setdefault(pid, Connections())


def tls_context() -> ssl.SSLContext:
    """A context that verifies names and certificates; reading the system's authorities takes milliseconds."""
    return ssl.create_default_context()


def exchange(call: Call, connection: Watched | None = None) -> Answer:
    """Make one request and return whatever answer came, refusals included.

    `connection` is one that the caller made, to a checked address; it is not kept.
    Raises `LeaseLost`, or an error of the tree as the module's docstring says.
    """
    place, target = _place(call)
    _progress.call, _progress.started, _progress.written = call, False, False
    used = connection or client().take(place)
    try:
        # The limit ends before the connection may be used by another thread.
        with deadline.watched() as limit:
            _progress.limit = limit
            answer = _unpacked(_opened(call, used, target))
        # Headers that were ended by force look complete to the parser.
        if limit.passed and not answer.cut_short:
            raise TimeoutError
    except BaseException as error:
        used.close()
        if not isinstance(error, (HTTPError, http.client.HTTPException, OSError, ValueError, zlib.error)):
            raise
        # Without the cause: a library's text may hold the URL, and the URL may be a secret.
        raise _meaning(call, error) from None
    finally:
        _progress.call = None
    if connection is None and not answer.cut_short:
        client().keep(place, used)
    else:
        used.close()
    return answer


def _place(call: Call) -> tuple[Place, str]:
    """Where the request goes, and what it asks for there."""
    try:
        scheme, host, port, target = _parts(call.url)
    except LocationParseError:
        raise _malformed(call) from None
    if scheme not in ("http", "https") or not host:
        raise _malformed(call)
    return (scheme, host, port), target


@functools.lru_cache(maxsize=256)
def _parts(url: str) -> tuple[str, str, int | None, str]:
    parts = parse_url(url)
    return parts.scheme or "", (parts.host or "").strip("[]"), parts.port, parts.request_uri


def _opened(call: Call, connection: Watched, target: str) -> Reading:
    connection.timeout = call.connect_seconds
    try:
        connection.write(call, target)
    except (BrokenPipeError, ConnectionResetError):
        # A server may answer before it has read everything; where it did not, reading fails.
        if connection.sock is None:
            raise
    connection.sock.settimeout(call.read_seconds)
    return connection.answered()


def _unpacked(read: Reading) -> Answer:
    body = bytes(read.body)
    if read.headers.get("Content-Encoding") == "gzip" and not read.cut_short:
        # Nobody asked for it, and some send it all the same.
        body = zlib.decompressobj(wbits=31).decompress(body, LARGEST_ANSWER_BYTES + 1)
    too_large = len(body) > LARGEST_ANSWER_BYTES
    return Answer(read.status, read.headers, body[:LARGEST_ANSWER_BYTES], cut_short=read.cut_short or too_large)


def _meaning(call: Call, error: Exception) -> ExecutionError:
    # A certificate that is not accepted is both a ValueError and an OSError.
    if not _progress.started and isinstance(error, ValueError) and not isinstance(error, OSError):
        return _malformed(call)
    if not _progress.written:
        return NetworkError(
            f"{call.label} could not be reached ({_kind(error)}); nothing was sent. It is tried again by itself; "
            "if it stays so, check this machine's network and the address in Settings."
        )
    timed_out = isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError))
    timed_out = timed_out or (_progress.limit is not None and _progress.limit.passed)
    happened = f"gave no answer within {call.read_seconds:g} s" if timed_out else "cut the connection before answering"
    if call.effect:
        return lost_answer(call.label, happened)
    if timed_out:
        return ProviderTimeout(f"{call.label} {happened}. It is tried again by itself.")
    return NetworkError(f"{call.label} {happened}. It is tried again by itself.")


def _malformed(call: Call) -> ConfigurationError:
    return ConfigurationError(f"The address or a header for {call.label} is malformed: correct it in Settings.")


def _kind(error: Exception) -> str:
    if isinstance(error, NameResolutionError):
        return "its name did not resolve"
    if isinstance(error, ConnectTimeoutError):
        return "no connection in time"
    if isinstance(error, (SSLError, ssl.SSLError)):
        return "its certificate or TLS was not accepted"
    return "the connection was refused or broken"
