"""Rate limits: exact with Redis, open without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis

from ephemeral.rate_limits import RateLimit, try_take

#: So slow that no token returns during a test.
SLOW = RateLimit("test", rate=0.01, burst=10)


def test_a_burst_passes_and_the_next_request_gets_a_time_to_wait(client: redis.Redis) -> None:
    assert [try_take(SLOW, "a") for _ in range(10)] == [0] * 10
    assert 90 <= try_take(SLOW, "a") <= 100


def test_each_subject_has_its_own_bucket(client: redis.Redis) -> None:
    assert try_take(SLOW, "a", cost=10) == 0
    assert try_take(SLOW, "b", cost=10) == 0


def test_a_batch_costs_its_size_and_a_rejected_one_costs_nothing(client: redis.Redis) -> None:
    assert try_take(SLOW, "a", cost=7) == 0
    assert try_take(SLOW, "a", cost=4) > 0
    assert try_take(SLOW, "a", cost=3) == 0


def test_a_batch_larger_than_the_burst_passes_when_the_bucket_is_full(client: redis.Redis) -> None:
    assert try_take(SLOW, "a", cost=1000) == 0
    assert try_take(SLOW, "a") > 0


def test_tokens_return_over_time(client: redis.Redis, eventually: Callable[..., Any]) -> None:
    quick = RateLimit("test", rate=20, burst=1)
    assert try_take(quick, "a") == 0
    eventually(lambda: try_take(quick, "a") == 0)


def test_concurrent_requests_take_exactly_the_burst(client: redis.Redis) -> None:
    passed = []

    def take_tokens() -> None:
        passed.extend(try_take(SLOW, "a") == 0 for _ in range(5))

    threads = [threading.Thread(target=take_tokens) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 10


def test_without_redis_every_request_passes(no_redis: None) -> None:
    assert try_take(SLOW, "a", cost=100) == 0
