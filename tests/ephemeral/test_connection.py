"""Connections: the broker's client raises errors that dramatiq handles, and the two databases are separate."""

from __future__ import annotations

import pytest
import redis

import settings
from ephemeral import connection
from tests.support.waiting import eventually


def test_a_timeout_of_the_broker_client_is_a_connection_error(redis_url: str) -> None:
    config = settings.load()
    client = connection.build_broker_client(config)
    client.connection_pool.connection_kwargs["socket_timeout"] = 0.05
    with pytest.raises(redis.ConnectionError):
        client.blpop(["nothing-here"], 1)
    client.close()
    eventually(lambda: not connection.get_breaker(config).is_open)


def test_a_connection_that_the_server_closed_costs_one_call_nothing(real_redis: redis.Redis) -> None:
    config = settings.load()
    broker = connection.build_broker_client(config)
    failures = connection.get_breaker(config).failures
    for client, other in ((real_redis, broker), (broker, real_redis)):
        own_id = client.client_id()
        assert other.client_kill_filter(_id=own_id) == 1
        assert client.ping()
        assert client.client_id() != own_id
    assert (connection.get_breaker(config).failures, connection.get_breaker(config).is_open) == (failures, False)
    broker.close()


def test_ephemeral_data_is_not_in_the_broker_s_database(real_redis: redis.Redis) -> None:
    broker = connection.build_broker_client(settings.load())
    real_redis.set("here", "1")
    assert broker.get("here") is None
    broker.close()
