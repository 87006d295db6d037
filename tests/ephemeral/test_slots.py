"""Send slots: a burst at once, then one by one, each at its own time."""

from __future__ import annotations

import math
import threading

import redis

from ephemeral import slots
from ephemeral.rate_limits import RateLimit

#: A hundred seconds between two slots, so that delays of a busy machine do not matter.
SLOT_SECONDS = 100.0
PAGE = RateLimit("page", rate=1 / SLOT_SECONDS, burst=40)
THREAD = RateLimit("thread", rate=1 / SLOT_SECONDS, burst=1)


def number_slots(delays: list[float]) -> list[int]:
    """Return each delay's slot number after the burst, from 1; 0 for at once."""
    return [math.ceil(seconds / SLOT_SECONDS) for seconds in delays]


def test_a_burst_passes_at_once_and_the_rest_one_by_one(client: redis.Redis) -> None:
    delays = [slots.reserve_send_slot(PAGE, "a") for _ in range(80)]

    assert delays[:40] == [0.0] * 40
    assert number_slots(delays[40:]) == list(range(1, 41))


def test_a_waiting_message_has_its_own_slot(client: redis.Redis) -> None:
    first, second, third = (slots.reserve_send_slot(THREAD, "a") for _ in range(3))

    assert first == 0.0
    assert 0.5 * SLOT_SECONDS < second <= SLOT_SECONDS
    assert 1.5 * SLOT_SECONDS < third <= 2 * SLOT_SECONDS


def test_racing_threads_share_no_slot(client: redis.Redis) -> None:
    delays: list[float] = []

    def reserve_many() -> None:
        delays.extend(slots.reserve_send_slot(PAGE, "a") for _ in range(20))

    threads = [threading.Thread(target=reserve_many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(number_slots(delays)) == [0] * 40 + list(range(1, 121))


def test_each_subject_and_limit_has_its_own_slots(client: redis.Redis) -> None:
    slots.reserve_send_slot(THREAD, "a")

    assert slots.reserve_send_slot(THREAD, "b") == 0.0
    assert slots.reserve_send_slot(RateLimit("other", 1, 1), "a") == 0.0


def test_a_suspension_lasts_its_time_and_the_longer_one_wins(client: redis.Redis) -> None:
    slots.suspend("page", "a", 60)
    slots.suspend("page", "a", 5)
    slots.suspend("page", "b", 0)

    assert 45 < slots.read_suspension_seconds("page", "a") <= 60
    assert slots.read_suspension_seconds("page", "b") == 0.0
    assert slots.read_suspension_seconds("other", "a") == 0.0

    slots.suspend("page", "a", 90)
    assert 75 < slots.read_suspension_seconds("page", "a") <= 90


def test_without_redis_every_message_passes(no_redis: None) -> None:
    slots.suspend("page", "a", 60)
    assert [slots.reserve_send_slot(THREAD, "a") for _ in range(3)] == [0.0] * 3
    assert slots.read_suspension_seconds("page", "a") == 0.0
