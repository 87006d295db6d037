"""The workflow cache: quick while it hears of changes, out of the way while it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from ephemeral import workflow_cache
from ephemeral.workflow_cache import Listener, WorkflowCache

Eventually = Callable[..., Any]


class Loads:
    """Counts how often PostgreSQL would have been asked."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> list[int]:
        self.count += 1
        return [self.count]


@pytest.fixture
def cache() -> WorkflowCache:
    made = WorkflowCache(capacity=3)
    made.set_listening(True)
    return made


@pytest.fixture
def heard(client: redis.Redis, eventually: Eventually) -> Iterator[WorkflowCache]:
    """A cache of another process, connected."""
    made = WorkflowCache()
    listener = Listener(client, made).start()
    eventually(lambda: made.listening)
    yield made
    listener.stop()


def test_the_second_question_is_answered_from_memory(cache: WorkflowCache) -> None:
    load = Loads()
    assert cache.get(("w", "a"), load) == cache.get(("w", "a"), load) == [1]
    assert cache.facts() == {"size": 1, "capacity": 3, "hits": 1, "misses": 1, "utilization": 0.3333}


def test_none_is_an_answer_that_is_kept_too(cache: WorkflowCache) -> None:
    cache.get(("w", "a"), list)
    cache.get(("w", "a"), list)
    assert cache.hits == 1


def test_nothing_is_kept_longer_than_its_time() -> None:
    cache = WorkflowCache(ttl_seconds=0)
    cache.set_listening(True)
    load = Loads()
    cache.get(("w", "a"), load)
    assert cache.get(("w", "a"), load) == [2]


def test_it_never_grows_past_its_capacity_and_lets_go_of_the_least_used(cache: WorkflowCache) -> None:
    load = Loads()
    for kind in "abc":
        cache.get(("w", kind), load)
    cache.get(("w", "a"), load)
    cache.get(("w", "d"), load)
    assert cache.facts()["size"] == 3
    assert cache.get(("w", "a"), load) == [1]
    assert cache.get(("w", "b"), load) == [5]


def test_what_was_read_before_a_change_is_not_kept_after_it(cache: WorkflowCache) -> None:
    def changed_meanwhile() -> list[int]:
        cache.forget("w")
        return [0]

    load = Loads()
    assert cache.get(("w", "a"), changed_meanwhile) == [0]
    assert cache.get(("w", "a"), load) == [1]


def test_without_a_listener_nothing_is_kept() -> None:
    cache, load = WorkflowCache(), Loads()
    cache.get(("w", "a"), load)
    assert cache.get(("w", "a"), load) == [2]


def test_a_change_in_one_process_clears_that_workspace_in_every_other(
    heard: WorkflowCache, eventually: Eventually
) -> None:
    load = Loads()
    heard.get(("w", "a"), load)
    heard.get(("other", "a"), load)
    workflow_cache.invalidate("w")
    eventually(lambda: heard.facts()["size"] == 1)
    assert heard.get(("other", "a"), load) == [2]
    assert heard.get(("w", "a"), load) == [3]


def test_a_broken_connection_empties_the_cache_and_it_recovers(
    client: redis.Redis, heard: WorkflowCache, eventually: Eventually
) -> None:
    heard.get(("w", "a"), Loads())
    # Not those of other tests, which run beside this one with databases of their own on the same server.
    ours = client.connection_pool.connection_kwargs["db"]
    for listening in client.client_list(_type="pubsub"):
        if int(listening["db"]) == ours:
            client.client_kill_filter(_id=listening["id"])
    eventually(lambda: heard.facts()["size"] == 0)
    eventually(lambda: heard.listening)


def test_a_change_without_redis_still_counts_here(no_redis: None) -> None:
    workflow_cache.invalidate("w")
