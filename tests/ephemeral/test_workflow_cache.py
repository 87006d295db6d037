"""The workflow cache: it caches only while it receives changes of other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from ephemeral import workflow_cache
from ephemeral.workflow_cache import Listener, VersionCache, WorkflowCache

Eventually = Callable[..., Any]


class LoadCounter:
    """Counts the reads from PostgreSQL."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> list[int]:
        self.count += 1
        return [self.count]


@pytest.fixture
def cache() -> WorkflowCache:
    new_cache = WorkflowCache(capacity=3)
    new_cache.set_listening(True)
    return new_cache


@pytest.fixture
def connected_cache(client: redis.Redis, eventually: Eventually) -> Iterator[WorkflowCache]:
    """A connected cache of another process."""
    new_cache = WorkflowCache()
    listener = Listener(client, new_cache).start()
    eventually(lambda: new_cache.listening)
    yield new_cache
    listener.stop()


def test_the_second_read_is_served_from_the_cache(cache: WorkflowCache) -> None:
    load = LoadCounter()
    assert cache.get(("w", "a"), load) == cache.get(("w", "a"), load) == [1]
    assert (len(cache), cache.hits, cache.misses) == (1, 1, 1)


def test_a_parsed_version_is_loaded_once_and_the_least_used_is_evicted() -> None:
    versions = VersionCache(capacity=2)
    load = LoadCounter()
    assert [versions.get(version_id, load) for version_id in ("a", "a", "b", "a", "c", "a")] == [
        [1], [1], [2], [1], [3], [1],
    ]  # fmt: skip
    assert (len(versions), versions.hits, versions.misses) == (2, 3, 3)


def test_a_version_that_cannot_be_loaded_is_not_stored() -> None:
    versions = VersionCache()

    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        versions.get("a", fail)
    assert len(versions) == 0


def test_the_statistics_add_up_all_caches_of_the_process() -> None:
    before = workflow_cache.read_stats()
    workflow_cache.versions.get("of-no-other-test", lambda: "parsed")
    after = workflow_cache.read_stats()
    assert (after["size"] - before["size"], after["misses"] - before["misses"]) == (1, 1)
    assert after["capacity"] == workflow_cache.CAPACITY + workflow_cache.VERSION_CAPACITY


def test_an_empty_result_is_cached_too(cache: WorkflowCache) -> None:
    cache.get(("w", "a"), list)
    cache.get(("w", "a"), list)
    assert cache.hits == 1


def test_an_entry_expires_after_its_lifetime() -> None:
    cache = WorkflowCache(ttl_seconds=0)
    cache.set_listening(True)
    load = LoadCounter()
    cache.get(("w", "a"), load)
    assert cache.get(("w", "a"), load) == [2]


def test_the_cache_evicts_the_least_recently_used_entry_above_its_capacity(cache: WorkflowCache) -> None:
    load = LoadCounter()
    for kind in "abc":
        cache.get(("w", kind), load)
    cache.get(("w", "a"), load)
    cache.get(("w", "d"), load)
    assert len(cache) == 3
    assert cache.get(("w", "a"), load) == [1]
    assert cache.get(("w", "b"), load) == [5]


def test_a_value_read_before_a_change_is_not_cached_after_it(cache: WorkflowCache) -> None:
    def invalidate_and_load() -> list[int]:
        cache.evict("w")
        return [0]

    load = LoadCounter()
    assert cache.get(("w", "a"), invalidate_and_load) == [0]
    assert cache.get(("w", "a"), load) == [1]


def test_without_a_listener_nothing_is_cached() -> None:
    cache, load = WorkflowCache(), LoadCounter()
    cache.get(("w", "a"), load)
    assert cache.get(("w", "a"), load) == [2]


def test_a_change_evicts_the_workspace_in_every_process(connected_cache: WorkflowCache, eventually: Eventually) -> None:
    load = LoadCounter()
    connected_cache.get(("w", "a"), load)
    connected_cache.get(("other", "a"), load)
    workflow_cache.invalidate("w")
    eventually(lambda: len(connected_cache) == 1)
    assert connected_cache.get(("other", "a"), load) == [2]
    assert connected_cache.get(("w", "a"), load) == [3]


@pytest.mark.parametrize("client", [pytest.param("real_redis", marks=pytest.mark.servers)], indirect=True)
def test_a_broken_connection_empties_the_cache_and_it_recovers(
    client: redis.Redis, connected_cache: WorkflowCache, eventually: Eventually
) -> None:
    connected_cache.get(("w", "a"), LoadCounter())
    # Skip those of other tests, which run at the same time with other databases of the same server.
    ours = client.connection_pool.connection_kwargs["db"]
    for subscriber in client.client_list(_type="pubsub"):
        if int(subscriber["db"]) == ours:
            client.client_kill_filter(_id=subscriber["id"])
    eventually(lambda: len(connected_cache) == 0)
    eventually(lambda: connected_cache.listening)


def test_a_change_without_redis_evicts_in_this_process(
    no_redis: None, cache: WorkflowCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_cache, "_cache", cache)
    load = LoadCounter()
    assert workflow_cache.get("w", "a", load) == workflow_cache.get("w", "a", load) == [1]

    workflow_cache.invalidate("w")

    assert workflow_cache.get("w", "a", load) == [2]
