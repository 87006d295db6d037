"""Connections: the broker's client raises errors that dramatiq handles, and the two databases are separate."""

from __future__ import annotations

import pytest
import redis

import settings
from ephemeral import connection


def test_a_timeout_of_the_broker_client_is_a_connection_error(redis_url: str) -> None:
    config = settings.load()
    client = connection.build_broker_client(config)
    client.connection_pool.connection_kwargs["socket_timeout"] = 0.05
    with pytest.raises(redis.ConnectionError):
        client.blpop(["nothing-here"], 1)
    client.close()


def test_ephemeral_data_is_not_in_the_broker_s_database(real_redis: redis.Redis) -> None:
    broker = connection.build_broker_client(settings.load())
    real_redis.set("here", "1")
    assert broker.get("here") is None
    broker.close()
