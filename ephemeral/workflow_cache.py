"""Published workflows in the process: by workspace and trigger type for up to five minutes, and parsed, by version.

A publication evicts them in every process at once: `invalidate` publishes through Redis, and a thread in each process
listens. While that thread is disconnected it may miss a change, so nothing is cached and every read goes to PostgreSQL;
after it reconnects the cache starts empty. Without Redis only speed is lost.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import redis
import structlog
from cachetools import LRUCache, TTLCache

import metrics
from ephemeral.connection import ERRORS, get_ephemeral

log = structlog.get_logger(__name__)

#: Cached entries (workspace and trigger type) at most; the least recently used is evicted first.
CAPACITY = 10_000
#: Parsed versions at most.
VERSION_CAPACITY = 1000
#: Lifetime of an entry.
TTL_SECONDS = 300.0
#: The channel that every process listens to; a message is the id of a workspace whose automations changed.
CHANNEL = "beckon:workflows"
#: How long the listener waits before it tries to connect again.
RECONNECT_SECONDS = 0.5

Key = tuple[str, str]


class WorkflowCache:
    """The cache of one process. It stores nothing until `listening`."""

    def __init__(self, capacity: int = CAPACITY, ttl_seconds: float = TTL_SECONDS) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._entries: TTLCache[Key, list[Any]] = TTLCache(capacity, ttl_seconds)
        self._lock = threading.Lock()
        self._listening = False
        #: Incremented by each eviction: a value read before one is not stored after it.
        self._generation = 0

    def get(self, key: Key, load: Callable[[], list[Any]]) -> list[Any]:
        """Return the cached value of `key`, else the result of `load`."""
        with self._lock:
            generation = self._generation
            cached = self._entries.get(key)
            if cached is not None:
                self.hits += 1
                metrics.cache_requests_total.labels(cache="workflows", result="hit").inc()
                return cached
            self.misses += 1
        metrics.cache_requests_total.labels(cache="workflows", result="miss").inc()
        workflows = load()
        self._store(key, workflows, generation)
        return workflows

    def _store(self, key: Key, workflows: list[Any], generation: int) -> None:
        with self._lock:
            if self._listening and generation == self._generation:
                self._entries[key] = workflows

    def evict(self, workspace_id: str) -> None:
        """Evict the entries of one workspace."""
        with self._lock:
            self._generation += 1
            for key in [key for key in self._entries if key[0] == workspace_id]:
                self._entries.pop(key, None)

    def set_listening(self, listening: bool) -> None:
        """Empty the cache, and store entries from now on (True) or not (False)."""
        with self._lock:
            self._generation += 1
            self._entries.clear()
            self._listening = listening

    @property
    def listening(self) -> bool:
        """Whether changes made elsewhere reach this process."""
        return self._listening

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)


class VersionCache:
    """The parsed versions of one process. A version never changes, so none becomes stale."""

    def __init__(self, capacity: int = VERSION_CAPACITY) -> None:
        self.capacity = capacity
        self.hits = 0
        self.misses = 0
        self._entries: LRUCache[str, Any] = LRUCache(capacity)
        self._lock = threading.Lock()

    def get(self, version_id: str, load: Callable[[], Any]) -> Any:
        """Return the cached version, else the result of `load`; nothing is stored where it raises."""
        with self._lock:
            version = self._entries.get(version_id)
            if version is not None:
                self.hits += 1
                metrics.cache_requests_total.labels(cache="versions", result="hit").inc()
                return version
            self.misses += 1
        metrics.cache_requests_total.labels(cache="versions", result="miss").inc()
        version = load()
        with self._lock:
            self._entries[version_id] = version
        return version

    def clear(self) -> None:
        """Forget every version."""
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)


_cache = WorkflowCache()
#: The parsed versions of this process.
versions = VersionCache()


def get(workspace_id: str, trigger_type: str, load: Callable[[], list[Any]]) -> list[Any]:
    """Return the published workflows of this trigger type; `load` reads them if they are not cached."""
    return _cache.get((workspace_id, trigger_type), load)


def invalidate(workspace_id: str) -> None:
    """Evict a workspace's workflows in every process. Call it after the commit of the change."""
    _cache.evict(workspace_id)
    try:
        get_ephemeral().publish(CHANNEL, workspace_id)
    except ERRORS as error:
        log.warning("redis is unavailable, other processes see the change when they reconnect", error=str(error))


def read_stats() -> dict[str, int]:
    """Return the size, capacity, hits and misses of this process's caches together."""
    caches = (_cache, versions)
    return {
        "size": sum(len(cache) for cache in caches),
        "capacity": sum(cache.capacity for cache in caches),
        "hits": sum(cache.hits for cache in caches),
        "misses": sum(cache.misses for cache in caches),
    }


class Listener:
    """The thread that receives changes of other processes; `start` once in each process, `stop` at its end."""

    def __init__(self, client: redis.Redis, cache: WorkflowCache = _cache) -> None:
        self._client = client
        self._cache = cache
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workflow-cache", daemon=True)

    def start(self) -> Listener:
        """Start listening; returns at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and empty the cache."""
        self._stopping.set()
        with contextlib.suppress(*ERRORS):
            self._client.publish(CHANNEL, "")  # wakes the thread
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (*ERRORS, OSError, ValueError) as error:
                log.warning("redis is unavailable, workflows are read from postgresql", error=str(error))
            finally:
                self._cache.set_listening(False)
            self._stopping.wait(RECONNECT_SECONDS)

    def _listen(self) -> None:
        with self._client.pubsub() as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(CHANNEL)
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=0.5)
                if message is None:
                    continue
                if message["type"] == "subscribe":
                    self._cache.set_listening(True)
                elif message["type"] == "message":
                    self._cache.evict(str(message["data"]))


def listen() -> Listener:
    """Start this process's listener."""
    return Listener(get_ephemeral()).start()
