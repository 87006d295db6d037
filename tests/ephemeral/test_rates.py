"""Rates: each workspace's counts a minute, their sums, and the duration of a provider's calls."""

from __future__ import annotations

import pytest
import redis

from ephemeral import rates
from ephemeral.connection import ERRORS


@pytest.fixture(autouse=True)
def _no_counts() -> None:
    rates._counts.clear()


def test_counts_are_read_by_workspace_and_in_sum(client: redis.Redis) -> None:
    rates.count_in("alice", "sending", 2)
    rates.count_in("charlie", "sending")
    rates.count_out("alice", "sending")
    rates.flush()
    alice, everything = rates.read("alice"), rates.read()
    assert (sum(rates.get(alice, "in:sending")), sum(rates.get(alice, "out:sending"))) == (2, 1)
    assert sum(rates.get(everything, "in:sending")) == 3
    assert list(rates.get(rates.read("bob"), "in:sending")) == [0] * rates.MINUTES


def test_counts_that_belong_to_no_workspace_are_counted_once(client: redis.Redis) -> None:
    rates.count_out(rates.ALL_WORKSPACES, "tracking", 5)
    rates.flush()
    assert sum(rates.get(rates.read(), "out:tracking")) == 5


def test_flushes_add_up_and_expire(client: redis.Redis) -> None:
    for _ in range(2):
        rates.count_in("alice", "sending")
        rates.flush()
    assert sum(rates.get(rates.read("alice"), "in:sending")) == 2
    assert all(0 < client.ttl(key) <= (rates.MINUTES + 2) * 60 for key in client.scan_iter("rates:*"))


def test_the_95th_percentile_is_the_bound_that_95_of_100_calls_do_not_exceed(client: redis.Redis) -> None:
    for seconds, count in ((0.04, 94), (0.9, 5), (12.0, 1)):
        for _ in range(count):
            rates.count_call("alice", "mailgun", seconds, accepted=seconds < 10)
    rates.flush()
    series = rates.read("alice")
    assert 900 <= (rates.compute_p95_ms(series, "mailgun") or 0) <= 900 * 1.15
    assert rates.compute_p95_ms(series, "telnyx") is None
    assert (sum(rates.get(series, "accepted:mailgun")), sum(rates.get(series, "failed:mailgun"))) == (99, 1)


def test_many_workspaces_are_flushed_in_batches(client: redis.Redis) -> None:
    for number in range(700):
        rates.count_in(f"w{number}", "sending")
    rates.flush()
    assert sum(rates.get(rates.read(), "in:sending")) == 700
    assert sum(rates.get(rates.read("w699"), "in:sending")) == 1


def test_without_redis_a_flush_raises_and_forgets(no_redis: None) -> None:
    rates.count_in("alice", "sending")
    with pytest.raises(ERRORS):
        rates.flush()
    assert not rates._counts
