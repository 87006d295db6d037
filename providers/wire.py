"""The one HTTP client of a process: pooled, bounded, and exact about how far a request got.

What an error means depends on the phase it strikes in. Before the first byte was written nothing can have been
accepted: `NetworkError`, safe to try again. After it, a call without an effect is `ProviderTimeout` or
`NetworkError`, while a send is `UnknownOutcome`: it may have been accepted, so nothing here ever sends it again.

A pooled connection that the server has closed meanwhile would turn a healthy send into an unknown one. So a
connection is reused only within `REUSE_SECONDS`, is looked at for a hang-up right before the write, and a write that
fails at its first byte counts as not written. No redirects, no retries, and no more than `LARGEST_ANSWER_BYTES`.
"""

from __future__ import annotations

import http.client
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError, NameResolutionError, SSLError

from providers import deadline
from providers.answers import Answer, lost_answer
from providers.base import LeaseLost
from rules.errors import (
    ConfigurationError,
    ExecutionError,
    NetworkError,
    ProviderTimeout,
)

#: An idle connection older than this is not reused: the shortest keep-alive in common use is 5 s (Node's).
REUSE_SECONDS = 4.0
#: More than this is not read of any answer.
LARGEST_ANSWER_BYTES = 1024 * 1024
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


class Watched(HTTPConnection):
    """A connection that asks before it writes, and tells when it has written."""

    _idle_since: float = 0.0

    def request(self, *args: Any, **kwargs: Any) -> None:
        too_old = time.monotonic() - self._idle_since > REUSE_SECONDS
        if self.sock is not None and self._idle_since and (too_old or not self.is_connected):
            self.close()
        super().request(*args, **kwargs)

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

    def getresponse(self) -> Any:
        if _progress.call is not None and _progress.limit is not None:
            _progress.limit.socket = self.sock
            _progress.limit.at = time.monotonic() + _progress.call.read_seconds
        response = super().getresponse()
        self._idle_since = time.monotonic()
        return response


class WatchedTLS(Watched, HTTPSConnection):
    """The same over TLS."""


class PlainPool(HTTPConnectionPool):
    ConnectionCls = Watched


class TLSPool(HTTPSConnectionPool):
    ConnectionCls = WatchedTLS


_clients: dict[int, urllib3.PoolManager] = {}


def client() -> urllib3.PoolManager:
    """The process's client. A forked child gets its own: two processes must never share a connection."""
    pid = os.getpid()
    # Without a lock, which a fork could copy while it is held; at worst two are made and one is dropped.
    return _clients.get(pid) or _clients.setdefault(pid, _made())


def _made() -> urllib3.PoolManager:
    made = urllib3.PoolManager(num_pools=64, maxsize=CONNECTIONS_PER_HOST, block=False, ssl_context=tls_context())
    made.pool_classes_by_scheme = {"http": PlainPool, "https": TLSPool}
    return made


def tls_context() -> ssl.SSLContext:
    """A context that verifies names and certificates; reading the system's authorities takes milliseconds."""
    return ssl.create_default_context()


Opener = Callable[..., urllib3.BaseHTTPResponse]


def exchange(call: Call, opener: Opener | None = None) -> Answer:
    """Make one request and return whatever answer came, refusals included.

    `opener` stands in for the pooled client's `request`, for a connection that must go to a checked address.
    Raises `LeaseLost`, or an error of the tree as the module's docstring says.
    """
    if not call.url.lower().startswith(("http://", "https://")):
        raise _malformed(call)
    _progress.call, _progress.started, _progress.written = call, False, False
    response = None
    try:
        # The limit ends before the connection goes back to the pool, where another thread may take it.
        with deadline.watched() as limit:
            _progress.limit = limit
            response = _opened(call, opener or client().request)
            answer = _read(response)
        # Headers that were ended by force look complete to the parser.
        if limit.passed and not answer.cut_short:
            raise TimeoutError
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        if response is not None:
            response.close()
        # Without the cause: a library's text may hold the URL, and the URL may be a secret.
        raise _meaning(call, error) from None
    finally:
        _progress.call = None
    response.close() if answer.cut_short else response.release_conn()
    return answer


def _opened(call: Call, opener: Opener) -> urllib3.BaseHTTPResponse:
    return opener(
        call.method,
        call.url,
        body=call.body,
        headers=dict(call.headers),
        timeout=urllib3.Timeout(connect=call.connect_seconds, read=call.read_seconds),
        redirect=False,
        retries=False,
        preload_content=False,
    )


def _read(response: urllib3.BaseHTTPResponse) -> Answer:
    """The answer up to its bound, or an error; a refusal whose text breaks off is still a refusal."""
    body = bytearray()
    try:
        while len(body) <= LARGEST_ANSWER_BYTES and (piece := response.read1(65536)):
            body += piece
    except (HTTPError, http.client.HTTPException, OSError):
        if not 400 <= response.status < 500:
            raise
        return Answer(response.status, response.headers, bytes(body), cut_short=True)
    too_large = len(body) > LARGEST_ANSWER_BYTES
    return Answer(response.status, response.headers, bytes(body[:LARGEST_ANSWER_BYTES]), cut_short=too_large)


def _meaning(call: Call, error: Exception) -> ExecutionError:
    if not _progress.started and isinstance(error, (LocationParseError, ValueError)):
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
