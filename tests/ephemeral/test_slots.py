"""Slots: a burst at once, then one after the other, each with a moment of its own."""

from __future__ import annotations

import threading

import redis

from ephemeral import slots
from ephemeral.rate_limits import Limit

PAGE = Limit("page", rate=40, burst=40)
THREAD = Limit("thread", rate=1, burst=1)


def test_a_burst_goes_at_once_and_the_rest_one_after_the_other(client: redis.Redis) -> None:
    given = [slots.book(PAGE, "a") for _ in range(80)]

    assert given[:40] == [0.0] * 40
    later = given[40:]
    assert later == sorted(later)
    assert 0.0 < later[0] <= 0.026
    assert 0.8 < later[-1] <= 1.001


def test_who_must_wait_has_a_slot_of_its_own(client: redis.Redis) -> None:
    first, second, third = (slots.book(THREAD, "a") for _ in range(3))

    assert first == 0.0
    assert 0.9 < second <= 1.0
    assert 1.9 < third <= 2.0


def test_threads_that_race_share_no_slot(client: redis.Redis) -> None:
    given: list[float] = []

    def many() -> None:
        given.extend(slots.book(PAGE, "a") for _ in range(20))

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # What came free while they asked is theirs too.
    assert given.count(0.0) < 60
    assert 2.0 < max(given) <= 3.001


def test_everybody_has_limits_of_their_own(client: redis.Redis) -> None:
    slots.book(THREAD, "a")

    assert slots.book(THREAD, "b") == 0.0
    assert slots.book(Limit("other", 1, 1), "a") == 0.0


def test_a_stop_holds_for_its_time_and_the_longer_one_wins(client: redis.Redis) -> None:
    slots.stop("page", "a", 60)
    slots.stop("page", "a", 5)
    slots.stop("page", "b", 0)

    assert 59 < slots.stopped_seconds("page", "a") <= 60
    assert slots.stopped_seconds("page", "b") == 0.0
    assert slots.stopped_seconds("other", "a") == 0.0

    slots.stop("page", "a", 90)
    assert 89 < slots.stopped_seconds("page", "a") <= 90


def test_without_redis_everybody_passes(no_redis: None) -> None:
    slots.stop("page", "a", 60)
    assert [slots.book(THREAD, "a") for _ in range(3)] == [0.0] * 3
    assert slots.stopped_seconds("page", "a") == 0.0
