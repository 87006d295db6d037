"""Rate limits: exact while Redis counts, open when it cannot."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis

from ephemeral.rate_limits import RateLimit, try_take

#: So slow that a test never sees a token come back.
SLOW = RateLimit("test", rate=0.01, burst=10)


def test_a_burst_passes_and_the_next_is_told_when_to_come_back(client: redis.Redis) -> None:
    assert [try_take(SLOW, "a") for _ in range(10)] == [0] * 10
    assert 90 <= try_take(SLOW, "a") <= 100


def test_each_has_a_bucket_of_its_own(client: redis.Redis) -> None:
    assert try_take(SLOW, "a", cost=10) == 0
    assert try_take(SLOW, "b", cost=10) == 0


def test_a_batch_costs_what_it_holds_and_a_refused_one_costs_nothing(client: redis.Redis) -> None:
    assert try_take(SLOW, "a", cost=7) == 0
    assert try_take(SLOW, "a", cost=4) > 0
    assert try_take(SLOW, "a", cost=3) == 0


def test_a_batch_larger_than_the_burst_passes_when_the_bucket_is_full(client: redis.Redis) -> None:
    assert try_take(SLOW, "a", cost=1000) == 0
    assert try_take(SLOW, "a") > 0


def test_tokens_come_back_with_time(client: redis.Redis, eventually: Callable[..., Any]) -> None:
    quick = RateLimit("test", rate=20, burst=1)
    assert try_take(quick, "a") == 0
    eventually(lambda: try_take(quick, "a") == 0)


def test_many_at_once_take_exactly_the_burst(client: redis.Redis) -> None:
    passed = []

    def take_tokens() -> None:
        passed.extend(try_take(SLOW, "a") == 0 for _ in range(5))

    threads = [threading.Thread(target=take_tokens) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 10


def test_without_redis_everybody_passes(no_redis: None) -> None:
    assert try_take(SLOW, "a", cost=100) == 0
