"""Nobody waits for a Redis that does not answer: after the first failure a probe in the background waits for all.

A process has one breaker for its server. A connection that cannot be made, or whose answer does not come in time, opens
it: from then on each use of Redis fails at once, until a probe has an answer. A server that answers with an error
answers, and costs no time, so the breaker stays closed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

import redis
import structlog

import metrics

log = structlog.get_logger(__name__)

#: Seconds between two probes of a server that does not answer.
PROBE_INTERVAL_SECONDS = 0.5
#: Seconds that a probe waits for a connection, and for each answer.
PROBE_TIMEOUT_SECONDS = 1.0

#: Errors of a connection that are answers: the server is there.
ANSWERS = (
    redis.ResponseError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.AuthenticationError,
    redis.exceptions.AuthorizationError,
)


class RedisUnavailableError(redis.ConnectionError):
    """Redis does not answer, and was not asked: the breaker is open."""


class RedisBreaker:
    """The breaker of one server in this process; `answers` is the probe, and may wait."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._pools: WeakSet[redis.ConnectionPool] = WeakSet()
        self._open_since: datetime | None = None
        #: The error that opened it.
        self._cause = ""
        self._closed_at = 0.0
        #: Calls that waited for an answer in vain.
        self.failures = 0
        _breakers.add(self)

    @property
    def is_open(self) -> bool:
        """Whether Redis is not asked."""
        return self._open_since is not None

    def watch(self, pool: redis.ConnectionPool) -> None:
        """Close the idle connections of this pool when the breaker opens: they may be dead."""
        self._pools.add(pool)

    def check(self) -> None:
        """Raise RedisUnavailableError while the breaker is open."""
        since = self._open_since
        if since is not None:
            raise RedisUnavailableError(f"Redis has not answered since {since:%H:%M:%S} UTC: {self._cause}")

    def report(self, error: Exception, began: float) -> None:
        """Open the breaker, unless the error is an answer, or is that of a call (by its monotonic time) from before the
        last answer to a probe."""
        if isinstance(error, ANSWERS):
            return
        with self._lock:
            self.failures += 1
            metrics.redis_unanswered_total.inc()
            if self.is_open or began < self._closed_at:
                return
            self._cause, self._open_since = str(error).strip(), datetime.now(UTC)
        log.warning("redis does not answer, nothing waits for it until a probe succeeds", error=str(error))
        threading.Thread(target=self._probe, name="redis-probe", daemon=True).start()

    def _probe(self) -> None:
        for pool in list(self._pools):
            pool.disconnect(inuse_connections=False)
        while not self._answers():
            time.sleep(PROBE_INTERVAL_SECONDS)
        with self._lock:
            self._closed_at, self._open_since = time.monotonic(), None
        log.info("redis answers again")

    def reset(self) -> None:
        """Close the breaker in a forked process, which has no thread that probes."""
        self._lock = threading.Lock()
        self._open_since = None


_breakers: WeakSet[RedisBreaker] = WeakSet()


def _reset_all() -> None:
    for breaker in list(_breakers):
        breaker.reset()


os.register_at_fork(after_in_child=_reset_all)


class GuardedConnection:
    """Mixed into a connection's class: reports to the breaker, and does not connect while it is open."""

    def __init__(self, *args: Any, breaker: RedisBreaker, **kwargs: Any) -> None:
        self._breaker = breaker
        super().__init__(*args, **kwargs)

    def connect(self) -> None:
        """Connect, unless the breaker is open."""
        self._breaker.check()
        self._watch(self._connect_checked)

    def send_packed_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send, and report a failure."""
        return self._watch(super().send_packed_command, *args, **kwargs)  # type: ignore[misc]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Read an answer, and report its absence."""
        return self._watch(super().read_response, *args, **kwargs)  # type: ignore[misc]

    def on_connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Select the database; where the server has no second one, or selects none, stay in the first.

        The keys of the two kinds of data differ, so that they can share a database.
        """
        try:
            super().on_connect_check_health(*args, **kwargs)  # type: ignore[misc]
        except redis.ResponseError as error:
            if not is_database_missing(error):
                raise
            self.db = 0
            super().on_connect_check_health(*args, **kwargs)  # type: ignore[misc]

    def _connect_checked(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except (redis.RedisError, OSError):
            raise
        except Exception as error:
            # The client reads what it did not expect, for example an answer of another kind to HELLO.
            self.disconnect()  # type: ignore[attr-defined]
            raise redis.InvalidResponse(f"The server does not answer as Redis does: {error}") from error

    def _watch(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        try:
            return call(*args, **kwargs)
        except (redis.RedisError, OSError) as error:
            self._breaker.report(error, began)
            raise


#: The codes of answers that the client leaves out of their errors' texts.
_CODES: dict[type[Exception], str] = {
    redis.exceptions.NoPermissionError: "NOPERM",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.MovedError: "MOVED",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.AuthenticationError: "NOAUTH",
}


def describe_answer(error: Exception) -> str:
    """Return the answer of Redis that this error stands for, with its code, on one line."""
    text = " ".join(str(error).split())
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "")
    return text if text.startswith(code) else f"{code} {text}"


def is_database_missing(error: redis.ResponseError) -> bool:
    """Whether a server refused to select a database because it has one only."""
    text = str(error).lower()
    return "db index" in text or "in cluster mode" in text or "'select'" in text


def build_pool(url: str, breaker: RedisBreaker, **kwargs: Any) -> redis.ConnectionPool:
    """Return a pool of connections that the breaker guards."""
    pool = redis.ConnectionPool.from_url(url, **kwargs)
    pool.connection_class = _guard(pool.connection_class)
    pool.connection_kwargs["breaker"] = breaker
    breaker.watch(pool)
    return pool


_guarded: dict[type, type] = {}


def _guard(connection_class: type) -> Any:
    if connection_class not in _guarded:
        _guarded[connection_class] = type(
            f"Guarded{connection_class.__name__}", (GuardedConnection, connection_class), {}
        )
    return _guarded[connection_class]


def probe(url: str) -> bool:
    """Return whether the server answers a new connection, whatever it says."""
    client = redis.Redis.from_url(
        url, socket_connect_timeout=PROBE_TIMEOUT_SECONDS, socket_timeout=PROBE_TIMEOUT_SECONDS
    )
    try:
        return bool(client.ping())
    except ANSWERS:
        return True
    except Exception:
        # Also those of a client that reads what no Redis says.
        return False
    finally:
        client.close()
