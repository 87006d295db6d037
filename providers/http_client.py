"""The HTTP client of a process: pooled, bounded, and exact about how far a request got.

The meaning of an error depends on its phase. Before the first byte is written nothing can have been accepted:
`NetworkError`, safe to retry. After it, a call without a side effect raises `ProviderTimeout` or `NetworkError`; a send
raises `UnknownOutcome`, since it may have been accepted, and is never resent here.

No library tells how far a request got, and ours costs less: on 2026-12-01 a request took 88 µs of processor time, with
the standard library's client 155, with urllib3's pool 373 (`benchmarks/http_clients.py`). Connections, TLS and URLs
are urllib3's, `request_head` writes the head, and llhttp parses.

A pooled connection that the server has closed would turn a send into an unknown outcome. So a connection is reused
only within `REUSE_SECONDS`, is checked for a hang-up right before the write, and a write that fails at its first byte
counts as not written. No redirects, no retries, and at most `MAX_RESPONSE_BYTES` of a response.
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
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, NameResolutionError, NewConnectionError, SSLError
from urllib3.util import parse_url

from providers import deadline
from providers.base import LeaseLost
from providers.request_head import format_head, format_host
from providers.response_parser import MAX_RESPONSE_BYTES, ParsedResponse
from providers.responses import Response, build_unknown_outcome
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    NetworkError,
    ProviderTimeout,
)

#: An idle connection older than this is not reused: the shortest keep-alive in common use is 5 s (Node's).
REUSE_SECONDS = 4.0
#: Maximum idle connections per host; more may be open at once.
CONNECTIONS_PER_HOST = 64
#: A larger request is written in two parts, so that a failure after the first is one of a request that was begun. What
#: fits the buffer of an idle connection is written as a whole or not at all.
MAX_SINGLE_WRITE_BYTES = 16 * 1024

# urllib3 logs malformed responses and each request with its URL, which is a secret for Slack and Discord.
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Call:
    """One request. `label` names the provider in messages; `effect` means that the call has a side effect."""

    label: str
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    connect_seconds: float = 5.0
    read_seconds: float = 15.0
    effect: bool = False
    holds_lease: Callable[[], bool] | None = field(default=None, repr=False)


class _RequestState(threading.local):
    """The progress of this thread's current request; `TrackedConnection` sets it, `send_request` reads it."""

    call: Call | None = None
    response_deadline: deadline.Deadline | None = None
    started = False
    written = False


_request_state = _RequestState()

#: Scheme, host and port of a server.
Origin = tuple[str, str, int | None]


class TrackedConnection(HTTPConnection):
    """A connection that checks the lease before it writes, and records what it has written."""

    _idle_since: float = 0.0

    def write(self, call: Call, target: str) -> None:
        """Write one request, over a new connection if the old one may be closed."""
        too_old = time.monotonic() - self._idle_since > REUSE_SECONDS
        if self.sock is not None and self._idle_since and (too_old or not self.is_connected):
            self.close()
        headers = {"Host": self._host_header, "Accept-Encoding": "identity"}
        if call.body is not None or call.method != "GET":
            headers["Content-Length"] = str(len(call.body or b""))
        if "User-Agent" not in call.headers:
            headers["User-Agent"] = "Beckon"
        head, body = format_head(call.method, target, {**headers, **call.headers, **headers}), call.body or b""
        if len(head) + len(body) <= MAX_SINGLE_WRITE_BYTES:
            self.send(head + body)
        else:
            self.send(head)
            self.send(body)

    @functools.cached_property
    def _host_header(self) -> str:
        return format_host(self.host, self.port or self.default_port, self.default_port)

    def read_response(self) -> ParsedResponse:
        """Read the whole response."""
        if _request_state.call is not None and _request_state.response_deadline is not None:
            _request_state.response_deadline.socket = self.sock
            _request_state.response_deadline.at = time.monotonic() + _request_state.call.read_seconds
        parsed = ParsedResponse(self.sock)
        parsed.begin()
        if parsed.will_close:
            self.close()
        self._idle_since = time.monotonic()
        return parsed

    def send(self, data: Any) -> None:
        if _request_state.started:
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        call = _request_state.call
        if call is not None and call.holds_lease is not None and not call.holds_lease():
            raise LeaseLost(f"the lease was lost before the request to {call.label} was written")
        _request_state.started = True
        super().send(data)
        _request_state.written = True


class TrackedTLSConnection(TrackedConnection, HTTPSConnection):
    """A tracked connection over TLS."""


class ConnectionPool:
    """Idle connections by scheme, host and port. The last used is reused first; surplus connections are closed."""

    def __init__(self) -> None:
        self._idle: dict[Origin, list[TrackedConnection]] = {}
        self._tls = create_tls_context()

    def acquire(self, origin: Origin) -> TrackedConnection:
        """Return an idle connection to this origin, or a new one that is not connected yet."""
        try:
            return self._idle[origin].pop()
        except (KeyError, IndexError):
            return self._create_connection(origin)

    def release(self, origin: Origin, connection: TrackedConnection) -> None:
        """Return a connection whose response was read completely to the pool."""
        idle = self._idle.setdefault(origin, [])
        if len(idle) < CONNECTIONS_PER_HOST:
            idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _create_connection(self, origin: Origin) -> TrackedConnection:
        scheme, host, port = origin
        return (
            TrackedTLSConnection(host, port, ssl_context=self._tls)
            if scheme == "https"
            else TrackedConnection(host, port)
        )


_pools: dict[int, ConnectionPool] = {}


def get_connection_pool() -> ConnectionPool:
    """Return the process's pool. A forked child gets its own: processes must never share a connection."""
    pid = os.getpid()
    # Without a lock, which a fork could copy while it is held; at worst two pools are created and one is dropped.
    return _pools.get(pid) or _pools.setdefault(pid, ConnectionPool())


def create_tls_context() -> ssl.SSLContext:
    """Create a context that verifies names and certificates; loading the system's authorities takes milliseconds."""
    return ssl.create_default_context()


def send_request(call: Call, connection: TrackedConnection | None = None) -> Response:
    """Send one request and return the response, whatever its status.

    `connection` is the caller's own, to a checked address; it is not pooled.
    Raises `LeaseLost`, or an error of the tree as described in the module's docstring.
    """
    origin, target = _split_url(call)
    _request_state.call, _request_state.started, _request_state.written = call, False, False
    active_connection = connection or get_connection_pool().acquire(origin)
    try:
        # The deadline ends before another thread may use the connection.
        with deadline.enforce_deadline() as response_deadline:
            _request_state.response_deadline = response_deadline
            response = _build_response(_write_and_read(call, active_connection, target))
        # To the parser, headers that the deadline cut off look complete.
        if response_deadline.expired and not response.truncated:
            raise TimeoutError
    except BaseException as error:
        active_connection.close()
        if not isinstance(error, (HTTPError, http.client.HTTPException, OSError, ValueError, zlib.error)):
            raise
        # Without the cause: a library's text may contain the URL, and the URL may be a secret.
        raise _translate_error(call, error) from None
    finally:
        _request_state.call = None
    if connection is None and not response.truncated:
        get_connection_pool().release(origin, active_connection)
    else:
        active_connection.close()
    return response


def _split_url(call: Call) -> tuple[Origin, str]:
    """Split the URL into the origin and the request target."""
    try:
        scheme, host, port, target = _parse_url(call.url)
    except LocationParseError:
        raise _build_malformed_error(call) from None
    if scheme not in ("http", "https") or not host:
        raise _build_malformed_error(call)
    return (scheme, host, port), target


@functools.lru_cache(maxsize=256)
def _parse_url(url: str) -> tuple[str, str, int | None, str]:
    parts = parse_url(url)
    return parts.scheme or "", (parts.host or "").strip("[]"), parts.port, parts.request_uri


def _write_and_read(call: Call, connection: TrackedConnection, target: str) -> ParsedResponse:
    connection.timeout = call.connect_seconds
    try:
        connection.write(call, target)
    except (BrokenPipeError, ConnectionResetError):
        # A server may respond before it has read everything; if it did not, reading fails.
        if connection.sock is None:
            raise
    connection.sock.settimeout(call.read_seconds)
    return connection.read_response()


def _build_response(parsed: ParsedResponse) -> Response:
    body = bytes(parsed.body)
    if parsed.headers.get("Content-Encoding") == "gzip" and not parsed.truncated:
        # Some servers compress although the request does not accept it.
        body = zlib.decompressobj(wbits=31).decompress(body, MAX_RESPONSE_BYTES + 1)
    too_large = len(body) > MAX_RESPONSE_BYTES
    return Response(parsed.status, parsed.headers, body[:MAX_RESPONSE_BYTES], truncated=parsed.truncated or too_large)


def _translate_error(call: Call, error: Exception) -> ExecutionError:
    # A rejected certificate is both a ValueError and an OSError.
    if not _request_state.started and isinstance(error, ValueError) and not isinstance(error, OSError):
        return _build_malformed_error(call)
    timed_out = _is_timeout(error)
    if not _request_state.written:
        return NetworkError(
            f"{call.label} could not be reached ({_describe_error(error)}); nothing was sent. It will be "
            "retried automatically; if this persists, check this machine's network and the URL in Settings.",
            timed_out=timed_out,
        )
    timed_out = timed_out or (_request_state.response_deadline is not None and _request_state.response_deadline.expired)
    description = (
        f"did not respond within {call.read_seconds:g} s" if timed_out else "closed the connection before responding"
    )
    if call.effect:
        return build_unknown_outcome(call.label, description, timed_out=timed_out)
    if timed_out:
        return ProviderTimeout(f"{call.label} {description}. It will be retried automatically.", timed_out=True)
    return NetworkError(f"{call.label} {description}. It will be retried automatically.")


def _is_timeout(error: Exception) -> bool:
    """Whether time ran out; a refused connection and an unknown host are time-outs to urllib3 alone."""
    is_timeout = isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError))
    return is_timeout and not isinstance(error, NewConnectionError)


def _build_malformed_error(call: Call) -> ConfigurationError:
    return ConfigurationError(f"The URL or a header for {call.label} is malformed: correct it in Settings.")


def _describe_error(error: Exception) -> str:
    if isinstance(error, NameResolutionError):
        return "the host name did not resolve"
    if _is_timeout(error):
        return "the connection timed out"
    if isinstance(error, (SSLError, ssl.SSLError)):
        return "the TLS handshake or the certificate check failed"
    return "the connection was refused or broken"
