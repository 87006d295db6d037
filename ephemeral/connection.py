"""Redis clients: one for dramatiq's queues, one for ephemeral data.

They use two databases of one server, because dramatiq scans all keys of its own database during maintenance. Both
connect with short timeouts: without Redis, callers continue without it and only lose speed.
"""

from __future__ import annotations

from typing import Any

import redis

from settings import Settings

#: Seconds to wait for a connection.
CONNECT_TIMEOUT_SECONDS = 0.5
#: Seconds to wait for a response about ephemeral data.
RESPONSE_TIMEOUT_SECONDS = 1.0
#: Seconds to wait for a response of a queue.
BROKER_RESPONSE_TIMEOUT_SECONDS = 5.0

#: Errors of a client when Redis is down, restarting, too slow, full, or read-only as a replica.
ERRORS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
)


class BrokerClient(redis.Redis):
    """A client that raises timeouts as connection errors: dramatiq reconnects only after those."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.TimeoutError as error:
            raise redis.ConnectionError(str(error)) from error


_clients: dict[str, redis.Redis] = {}


def build_broker_client(settings: Settings) -> BrokerClient:
    """Return a new client of the queues' database, for dramatiq's broker."""
    pool = redis.ConnectionPool.from_url(
        settings.broker_url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=BROKER_RESPONSE_TIMEOUT_SECONDS,
    )
    return BrokerClient(connection_pool=pool)


def open_ephemeral(settings: Settings) -> redis.Redis:
    """Open the process's client for caches, limits and heartbeats; it connects at the first command."""
    client = redis.Redis.from_url(
        settings.ephemeral_url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=RESPONSE_TIMEOUT_SECONDS,
        decode_responses=True,
    )
    _clients["ephemeral"] = client
    return client


def get_ephemeral() -> redis.Redis:
    """Return the client that `open_ephemeral` opened."""
    return _clients["ephemeral"]
