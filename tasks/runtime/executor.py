"""Runs claimed executions on threads, and limits how many are claimed before a thread is free for them.

A thread blocks for outside calls only. While all of them hang in calls, the pool runs the threads that
`tasks.runtime.provider_threads` lends it. Where a claimed execution records an intent that must be durable first, its
thread starts another, and any free thread continues the first once the record is durable. Resumed work comes before new
work, because a recorded intent should be carried out soon. The last resumable one is kept back while new work can
record an intent, or the next thread would have to wait for a record.

One statement claims many executions at about the cost of one, so a worker claims slightly ahead of its threads: as many
as they started within the last `PREFETCH_WINDOW_SECONDS`. With fast threads that is a batch. With threads that wait for
a slow model or provider it is none, and an execution is claimed when a thread is free for it. The facts of a claim
(pauses, suppressions) are therefore never much older than that when the work begins.
"""

from __future__ import annotations

import queue
import threading
import time
from bisect import bisect
from collections import deque
from collections.abc import Callable

import structlog

from tasks.runtime.claimed_execution import ClaimedExecution

log = structlog.get_logger(__name__)

#: How long a claimed execution should wait for a thread at most.
PREFETCH_WINDOW_SECONDS = 0.05
#: Maximum number of claimed executions that wait for each thread, however fast it is.
MAX_PREFETCH_PER_THREAD = 16
#: How often a pool looks whether all of its threads hang.
WATCH_SECONDS = 0.1
#: Number of resumable claimed executions that are kept back while a new one can record an intent.
RESUMABLE_RESERVE = 1


class Executor:
    """A pool of threads, each running `work` for one claimed execution at a time.

    `work` returns whether it is finished with the execution; `on_idle` is called when no thread has anything to do.
    """

    def __init__(
        self,
        thread_count: int,
        work: Callable[[ClaimedExecution], bool],
        on_idle: Callable[[], None],
        name: str = "executor",
    ) -> None:
        self._work = work
        self._on_idle = on_idle
        self._changed = threading.Condition(threading.Lock())
        self._submitted: deque[ClaimedExecution] = deque()
        self._resumable: deque[Callable[[], bool]] = deque()
        #: One token for each entry of both deques, and for each other reason to wake a thread.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread_count = thread_count
        self._busy = 0
        #: Executions that were started and are not finished: on a thread, waiting for their record, or resumable.
        self._in_progress = 0
        self._reserved = 0
        self._requested: list[int] = []
        self._closed = False
        self._starts: deque[float] = deque(maxlen=thread_count * MAX_PREFETCH_PER_THREAD)
        #: How many more threads may run while those of the pool hang in calls.
        self.count_lent: Callable[[], int] = int
        self._name = name
        self._threads: list[threading.Thread] = []
        self._alive = 0
        self._stopping = threading.Event()
        with self._changed:
            self._start_threads(thread_count)
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()

    @property
    def size(self) -> int:
        """The number of threads."""
        return max(self._thread_count, self._alive)

    @property
    def busy(self) -> int:
        """The number of threads that work, or wait for an outside call, now."""
        return self._busy

    @property
    def is_idle(self) -> bool:
        """Whether no thread has anything to do."""
        return not (self._busy or self._resumable or self._submitted)

    @property
    def is_fast(self) -> bool:
        """Whether the busy threads will submit records soon: they start more than one execution each within
        `PREFETCH_WINDOW_SECONDS`."""
        return 0 < self._busy < self._count_recent_starts()

    @property
    def closed(self) -> bool:
        """Whether the executor starts nothing new."""
        return self._closed

    def reserve_slots(self, count: int, *, prefetch: bool = True) -> int:
        """Wait for free slots, reserve up to `count` of them, and return how many; 0 once the executor is closed.

        `submit` uses a reserved slot; `release_slots` frees those that are not needed.
        """
        with self._changed:
            self._requested.append(count)
            self._changed.wait_for(lambda: self._closed or self._count_free(count, prefetch) > 0)
            self._requested.remove(count)
            free = 0 if self._closed else self._count_free(count, prefetch)
            self._reserved += free
            return free

    def submit(self, claimed: ClaimedExecution) -> bool:
        """Start a claimed execution in a reserved slot; return False once the executor is closed."""
        with self._changed:
            if self._closed:
                return False
            self._submitted.append(claimed)
        self._tokens.put(None)
        return True

    def try_submit(self, claimed: ClaimedExecution) -> bool:
        """Start a claimed execution if a slot is free and nobody waits for one; return whether it starts.

        Those who wait have older executions: what comes from another pool must not overtake them for ever.
        """
        with self._changed:
            if self._closed or self._requested or not self._count_free(1, True):
                return False
            self._reserved += 1
            self._submitted.append(claimed)
        self._tokens.put(None)
        return True

    def release_slots(self, count: int) -> None:
        """Free `count` reserved slots."""
        with self._changed:
            self._reserved -= count
            self._changed.notify_all()

    def resume(self, work: Callable[[], bool]) -> None:
        """Continue an unfinished execution; `work` returns whether it is finished now."""
        self._resumable.append(work)
        self._tokens.put(None)

    def close(self) -> list[ClaimedExecution]:
        """Start nothing new and return what was submitted but not started. Started work continues."""
        with self._changed:
            self._closed = True
            unstarted = list(self._submitted)
            self._submitted.clear()
            self._changed.notify_all()
        self._stopping.set()
        self._wake_all()
        return unstarted

    def _start_threads(self, count: int) -> None:
        started = [
            threading.Thread(target=self._run, name=f"{self._name}-{index}", daemon=True)
            for index in range(self._alive, self._alive + count)
        ]
        self._alive += len(started)
        for thread in started:
            thread.start()
        self._threads = [thread for thread in self._threads if thread.is_alive()] + started

    def _watch(self) -> None:
        """Start and end the threads that are lent: while all others hang, no end of a call would wake anybody."""
        while not self._stopping.wait(WATCH_SECONDS):
            with self._changed:
                lent = self.count_lent()
                if lent and (self._requested or self._resumable or self._submitted):
                    self._start_threads(self._thread_count + lent - self._alive)
                    self._changed.notify_all()
                elif not lent and self._alive > self._thread_count:
                    self._tokens.put(None)

    def _count_free(self, count: int, prefetch: bool) -> int:
        slots = self._thread_count - self._in_progress + (self._count_recent_starts() if prefetch else 0)
        if slots <= self._reserved:
            slots += self.count_lent()
        free = slots - self._reserved
        # Claims come in batches rather than one by one: the next one waits until half of the slots are free.
        return min(count, free) if free >= min(count, (slots + 1) // 2) else 0

    def _count_recent_starts(self) -> int:
        """Count the starts within the prefetch window."""
        since = time.monotonic() - PREFETCH_WINDOW_SECONDS
        return len(self._starts) - bisect(self._starts, since)

    def _run(self) -> None:
        while (work := self._next_work()) is not None:
            is_finished = True
            try:
                is_finished = work()
            except Exception:
                # The execution keeps its lease; once that expires, the sweep notifies again.
                log.exception("an executor thread dropped an execution")
            self._finish(is_finished)

    def _next_work(self) -> Callable[[], bool] | None:
        """Wait for the next piece of work; None once the executor is closed and everything is finished."""
        while True:
            self._tokens.get()
            with self._changed:
                if self._alive > self._thread_count and not self.count_lent():
                    # The pool's own threads answer again. Another one takes what the token stands for.
                    self._alive -= 1
                    self._tokens.put(None)
                    return None
                if len(self._resumable) > RESUMABLE_RESERVE or (self._resumable and not self._submitted):
                    self._busy += 1
                    return self._resumable.popleft()
                if self._submitted:
                    return self._start(self._submitted.popleft())
                if self._closed and not self._in_progress:
                    return None

    def _start(self, claimed: ClaimedExecution) -> Callable[[], bool]:
        self._busy += 1
        self._in_progress += 1
        self._reserved -= 1
        self._starts.append(time.monotonic())
        self._notify_waiters()
        return lambda: self._work(claimed)

    def _finish(self, is_finished: bool) -> None:
        with self._changed:
            self._busy -= 1
            if is_finished:
                self._in_progress -= 1
            self._notify_waiters()
            is_idle = self.is_idle
            is_done = self._closed and not self._in_progress
        if is_idle:
            self._on_idle()
        if is_done:
            self._wake_all()

    def _wake_all(self) -> None:
        for _ in range(self._alive):
            self._tokens.put(None)

    def _notify_waiters(self) -> None:
        # Waking a thread that finds no free slot is expensive, and would happen with every execution.
        if self._requested and self._count_free(min(self._requested), True) > 0:
            self._changed.notify_all()
