"""Slots: a burst at once, then one after the other, each with a moment of its own."""

from __future__ import annotations

import math
import threading

import redis

from ephemeral import slots
from ephemeral.rate_limits import Limit

#: Between two slots lie a hundred seconds: what a busy machine takes meanwhile is nothing against it.
APART = 100.0
PAGE = Limit("page", rate=1 / APART, burst=40)
THREAD = Limit("thread", rate=1 / APART, burst=1)


def numbers(given: list[float]) -> list[int]:
    """Which slot after the burst each is, counted from 1; 0 for at once."""
    return [math.ceil(seconds / APART) for seconds in given]


def test_a_burst_goes_at_once_and_the_rest_one_after_the_other(client: redis.Redis) -> None:
    given = [slots.book(PAGE, "a") for _ in range(80)]

    assert given[:40] == [0.0] * 40
    assert numbers(given[40:]) == list(range(1, 41))


def test_who_must_wait_has_a_slot_of_its_own(client: redis.Redis) -> None:
    first, second, third = (slots.book(THREAD, "a") for _ in range(3))

    assert first == 0.0
    assert 0.5 * APART < second <= APART
    assert 1.5 * APART < third <= 2 * APART


def test_threads_that_race_share_no_slot(client: redis.Redis) -> None:
    given: list[float] = []

    def many() -> None:
        given.extend(slots.book(PAGE, "a") for _ in range(20))

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(numbers(given)) == [0] * 40 + list(range(1, 121))


def test_everybody_has_limits_of_their_own(client: redis.Redis) -> None:
    slots.book(THREAD, "a")

    assert slots.book(THREAD, "b") == 0.0
    assert slots.book(Limit("other", 1, 1), "a") == 0.0


def test_a_stop_holds_for_its_time_and_the_longer_one_wins(client: redis.Redis) -> None:
    slots.stop("page", "a", 60)
    slots.stop("page", "a", 5)
    slots.stop("page", "b", 0)

    assert 45 < slots.stopped_seconds("page", "a") <= 60
    assert slots.stopped_seconds("page", "b") == 0.0
    assert slots.stopped_seconds("other", "a") == 0.0

    slots.stop("page", "a", 90)
    assert 75 < slots.stopped_seconds("page", "a") <= 90


def test_without_redis_everybody_passes(no_redis: None) -> None:
    slots.stop("page", "a", 60)
    assert [slots.book(THREAD, "a") for _ in range(3)] == [0.0] * 3
    assert slots.stopped_seconds("page", "a") == 0.0
