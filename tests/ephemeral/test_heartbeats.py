"""Heartbeats: only live worker processes are listed."""

from __future__ import annotations

import os

import pytest
import redis

import clock
from ephemeral import heartbeats
from ephemeral.connection import ERRORS


def test_a_process_with_a_heartbeat_is_listed_with_its_queues(client: redis.Redis) -> None:
    heartbeats.record(["executions", "triggers"], clock.now())
    (worker,) = heartbeats.list_workers()
    assert (worker.pid, worker.queues) == (os.getpid(), ("executions", "triggers"))
    assert client.ttl(next(iter(client.scan_iter("worker:*")))) <= heartbeats.TTL_SECONDS


def test_a_process_without_a_heartbeat_is_not_listed(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now())
    client.delete(*client.scan_iter("worker:*"))
    assert heartbeats.list_workers() == []
    assert client.scard("workers") == 0


def test_a_process_removes_itself_at_its_end(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now())
    heartbeats.remove()
    assert heartbeats.list_workers() == []


def test_without_redis_listing_workers_raises(no_redis: None) -> None:
    with pytest.raises(ERRORS):
        heartbeats.list_workers()
