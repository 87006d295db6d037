"""Counts the threads that calls to each provider hold in this process, and bounds those that get no answer.

A provider that does not answer holds each thread until the call times out. Its workspace's calls may hold half of a
pool while its last calls timed out, or while every thread of the pool hangs; an execution that would hold more waits
for some seconds instead. Otherwise nothing is bounded. While every thread hangs, the pool starts more threads, half as
many as it has, so that what other providers serve goes on before the first call times out. Half of those are kept from
a provider that holds the whole pool for all workspaces together, each of which may hold only a few.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rules.breaker import count_lent_threads, may_hold_thread
from rules.stages import Queue

#: How long a call may take before it counts as hanging: providers accept a message faster, models think for seconds.
HANGING_SECONDS: Mapping[Queue, float] = {"executions": 0.3, "generation": 5.0, "sending": 0.3}
#: The workspace and the provider of a call.
_Caller = tuple[str, str]


class ProviderCrowded(Exception):
    """The provider gets no further thread now; the call was not made."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self.provider = provider


class PoolCalls:
    """The calls in progress of one pool, with the monotonic times at which they began."""

    def __init__(self, queue: Queue, size: int) -> None:
        self._hanging_seconds, self._size = HANGING_SECONDS[queue], size
        self._began: defaultdict[_Caller, list[float]] = defaultdict(list)
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def hold_thread(self, caller: _Caller, *, timed_out: bool) -> Iterator[None]:
        """Count a call while it lasts; raise `ProviderCrowded` where its provider holds as many as it may."""
        began = time.monotonic()
        with self._lock:
            if not self._may_hold(caller, timed_out=timed_out):
                raise ProviderCrowded(caller[1])
            self._began[caller].append(began)
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                self._began[caller].remove(began)
                if not self._began[caller]:
                    del self._began[caller]

    def may_hold(self, caller: _Caller, *, timed_out: bool) -> bool:
        """Whether a call of this provider may hold one more thread."""
        with self._lock:
            return self._may_hold(caller, timed_out=timed_out)

    def count_lent(self) -> int:
        """Return how many more threads the pool may start, because all of its own hang."""
        with self._lock:
            return count_lent_threads(self._count_hanging(), self._size)

    def _may_hold(self, caller: _Caller, *, timed_out: bool) -> bool:
        held, lent = len(self._began.get(caller, ())), count_lent_threads(self._count_hanging(), self._size)
        if lent and self._count_of(caller[1]) >= self._size + lent // 2:
            return False
        return not held or may_hold_thread(held, self._size, is_unreliable=timed_out or lent > 0)

    def _count_of(self, provider: str) -> int:
        """Count the calls of a provider for all workspaces."""
        return sum(len(calls) for caller, calls in self._began.items() if caller[1] == provider)

    def _count_hanging(self) -> int:
        if self._count < self._size:
            # Not all of them: how many does not matter.
            return 0
        since = time.monotonic() - self._hanging_seconds
        return sum(began <= since for calls in self._began.values() for began in calls)


_pools: dict[Queue, PoolCalls] = {}


def open_pool(queue: Queue, size: int) -> PoolCalls:
    """Count the calls of a pool of `size` threads from now on."""
    _pools[queue] = PoolCalls(queue, size)
    return _pools[queue]


@contextmanager
def hold_thread(queue: Queue, workspace_id: str, provider: str, *, timed_out: bool) -> Iterator[None]:
    """Count a call of a pool while it lasts; `timed_out` says whether the provider's last calls timed out.

    Raises `ProviderCrowded` where the call may not be made now.
    """
    pool = _pools.get(queue)
    if pool is None:
        yield
        return
    with pool.hold_thread((workspace_id, provider), timed_out=timed_out):
        yield


def may_hold_thread_of(queue: Queue, workspace_id: str, provider: str, *, timed_out: bool) -> bool:
    """Whether a call of this provider may be made in the pool now."""
    pool = _pools.get(queue)
    return pool is None or pool.may_hold((workspace_id, provider), timed_out=timed_out)
