"""Heartbeats: who speaks is listed, who stops is not."""

from __future__ import annotations

import os

import pytest
import redis

import clock
from ephemeral import heartbeats
from ephemeral.connection import ERRORS


def test_a_process_that_spoke_is_listed_with_its_queues(client: redis.Redis) -> None:
    heartbeats.record(["executions", "triggers"], clock.now())
    (worker,) = heartbeats.list_workers()
    assert (worker.pid, worker.queues) == (os.getpid(), ("executions", "triggers"))
    assert client.ttl(next(iter(client.scan_iter("worker:*")))) <= heartbeats.TTL_SECONDS


def test_a_process_that_went_silent_is_not_listed(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now())
    client.delete(*client.scan_iter("worker:*"))
    assert heartbeats.list_workers() == []
    assert client.scard("workers") == 0


def test_a_process_that_ends_says_so(client: redis.Redis) -> None:
    heartbeats.record(["sending"], clock.now())
    heartbeats.remove()
    assert heartbeats.list_workers() == []


def test_without_redis_the_caller_hears_of_it(no_redis: None) -> None:
    with pytest.raises(ERRORS):
        heartbeats.list_workers()
