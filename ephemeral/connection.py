"""How Redis is reached: one client for dramatiq's queues, one for everything that may be forgotten.

They use two databases of one server, because dramatiq looks through all keys of its own when it tidies up. Both give
up connecting quickly: a Redis that is away costs speed, and whoever asks goes on without it.
"""

from __future__ import annotations

from typing import Any

import redis

from settings import Settings

#: Seconds to wait for a connection.
CONNECT_TIMEOUT_SECONDS = 0.5
#: Seconds to wait for an answer to something that may be forgotten.
RESPONSE_TIMEOUT_SECONDS = 1.0
#: Seconds to wait for an answer of a queue.
BROKER_RESPONSE_TIMEOUT_SECONDS = 5.0

#: What a client raises when Redis is gone, restarting, too slow, full, or about to become another's replica.
ERRORS = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.BusyLoadingError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
)


class BrokerClient(redis.Redis):
    """A client whose time-outs are connection errors, the only kind after which dramatiq connects anew."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.TimeoutError as error:
            raise redis.ConnectionError(str(error)) from error


_clients: dict[str, redis.Redis] = {}


def build_broker_client(settings: Settings) -> BrokerClient:
    """A new client of the queues' database, for dramatiq's broker."""
    pool = redis.ConnectionPool.from_url(
        settings.broker_url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=BROKER_RESPONSE_TIMEOUT_SECONDS,
    )
    return BrokerClient(connection_pool=pool)


def open_ephemeral(settings: Settings) -> redis.Redis:
    """Point the process at Redis for caches, limits and heartbeats; connects with the first question."""
    client = redis.Redis.from_url(
        settings.ephemeral_url,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=RESPONSE_TIMEOUT_SECONDS,
        decode_responses=True,
    )
    _clients["ephemeral"] = client
    return client


def get_ephemeral() -> redis.Redis:
    """The process's client, opened before."""
    return _clients["ephemeral"]
