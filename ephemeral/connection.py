"""Redis clients: one for dramatiq's queues, one for ephemeral data.

They use two databases of one server, because dramatiq scans all keys of its own database during maintenance; a server
with one database gets both. Both clients connect with short timeouts, and share a breaker: without Redis, callers
continue without it and only lose speed. An answer that refuses what Redis is asked is an error like any other.
"""

from __future__ import annotations

from typing import Any

import redis

from ephemeral.redis_breaker import RedisBreaker, build_pool, describe_answer, probe
from settings import Settings

#: Seconds to wait for a connection.
CONNECT_TIMEOUT_SECONDS = 0.5
#: Seconds to wait for a response about ephemeral data.
RESPONSE_TIMEOUT_SECONDS = 1.0
#: Seconds to wait for a response of a queue.
BROKER_RESPONSE_TIMEOUT_SECONDS = 5.0
#: Seconds that a web process waits for any response: somebody waits for its own.
WEB_RESPONSE_TIMEOUT_SECONDS = 0.4

#: Errors of a client when Redis is down, restarting or too slow, or refuses what it is asked, with whatever words.
ERRORS = (redis.RedisError,)


class RedisRefusedError(redis.ConnectionError):
    """Redis answered with an error. Dramatiq tries again later only after errors of connections."""


class BrokerClient(redis.Redis):
    """A client that raises timeouts and refusals as connection errors: dramatiq goes on only after those."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.TimeoutError as error:
            raise redis.ConnectionError(str(error)) from error
        except redis.exceptions.NoScriptError:
            # The client loads the script and asks again.
            raise
        except redis.ResponseError as error:
            raise RedisRefusedError(describe_answer(error)) from error


_breakers: dict[str, RedisBreaker] = {}


def get_breaker(settings: Settings) -> RedisBreaker:
    """Return this process's breaker for the server of `REDIS_URL`."""
    url = settings.broker_url
    return _breakers.setdefault(url, RedisBreaker(lambda: probe(url)))


_clients: dict[str, redis.Redis] = {}


def build_broker_client(settings: Settings, response_seconds: float = BROKER_RESPONSE_TIMEOUT_SECONDS) -> BrokerClient:
    """Return a new client of the queues' database, for dramatiq's broker."""
    pool = build_pool(
        settings.broker_url,
        get_breaker(settings),
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=response_seconds,
    )
    return BrokerClient(connection_pool=pool)


def open_ephemeral(settings: Settings, response_seconds: float = RESPONSE_TIMEOUT_SECONDS) -> redis.Redis:
    """Open the process's client for caches, limits and heartbeats; it connects at the first command."""
    pool = build_pool(
        settings.ephemeral_url,
        get_breaker(settings),
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=response_seconds,
        decode_responses=True,
    )
    client = redis.Redis(connection_pool=pool)
    _clients["ephemeral"] = client
    return client


def get_ephemeral() -> redis.Redis:
    """Return the client that `open_ephemeral` opened."""
    return _clients["ephemeral"]
