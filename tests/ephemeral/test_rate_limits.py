"""Rate limits: exact with Redis, open without it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from ephemeral import rate_limits
from ephemeral.rate_limits import RateLimit, try_take, try_take_in_advance
from models.ids import new_id

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


def count_passed(limit: RateLimit, subject: str, requests: int) -> int:
    return sum(try_take_in_advance(limit, subject) == 0 for _ in range(requests))


def test_most_requests_use_tokens_that_were_taken_in_advance(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    monkeypatch.setattr(rate_limits, "take", lambda _, __, cost: costs.append(cost) or 0)
    assert count_passed(RateLimit("advance", rate=5000, burst=20_000), new_id(), 250) == 250
    assert costs == [100, 100, 100]


def test_tokens_taken_in_advance_never_exceed_the_burst(client: redis.Redis) -> None:
    assert count_passed(SLOW, new_id(), 20) == 10


def test_a_bucket_without_an_advance_still_gives_single_tokens(client: redis.Redis) -> None:
    limit = RateLimit("advance", rate=1000, burst=25)
    subject = new_id()
    assert try_take_in_advance(limit, subject, cost=24) == 0
    assert try_take_in_advance(limit, subject) == 0


def test_an_advance_is_used_by_batches_too(client: redis.Redis) -> None:
    limit = RateLimit("advance", rate=1000, burst=20)
    subject = new_id()
    assert try_take_in_advance(limit, subject, cost=5) == 0
    assert try_take_in_advance(limit, subject, cost=15) == 0


def test_without_redis_an_advance_passes_too(no_redis: None) -> None:
    assert count_passed(RateLimit("advance", rate=5000, burst=20_000), new_id(), 200) == 200
