"""The threads that work on executions, and how many executions are claimed before a thread is free for them.

A hand stands still for outside calls alone. Where a passage announces something that must be durable first, its hand
takes up another, and whichever hand is free goes on with it once it is on record. That comes before anything new,
because what was announced should happen soon; but the last one is kept in store while something new can be announced,
or the next hand would have to wait for a record.

One statement claims many executions at about the price of one, so a worker claims a little ahead of its hands: as many
as they took up within the last `AHEAD_SECONDS`. Where hands are quick that is a batch; where they wait for a slow
model or provider it is none, and an execution is claimed when a hand is free for it. So what a claim brought with it
(pauses, suppressions) is never much older than that when the work begins.
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

#: How long an execution should wait for a hand at most, once it is claimed.
PREFETCH_WINDOW_SECONDS = 0.05
#: No more than this many wait for each hand, however quick it is.
MAX_PREFETCH_PER_THREAD = 16
#: So many announced passages are kept while there is a new one to announce.
RESUMABLE_RESERVE = 1


class Executor:
    """So many threads, each doing `work` with one passage at a time; `work` answers whether the passage is over, and
    `idle` is told when no thread has anything to do."""

    def __init__(
        self, thread_count: int, work: Callable[[ClaimedExecution], bool], on_idle: Callable[[], None]
    ) -> None:
        self._work = work
        self._on_idle = on_idle
        self._changed = threading.Condition(threading.Lock())
        self._submitted: deque[ClaimedExecution] = deque()
        self._resumable: deque[Callable[[], bool]] = deque()
        #: One token for each of both, and for whatever else is to be looked at.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread_count = thread_count
        self._busy = 0
        #: Passages that were taken up and are not over: in a hand, waiting for their record, or for a hand again.
        self._in_progress = 0
        self._reserved = 0
        self._requested: list[int] = []
        self._closed = False
        self._starts: deque[float] = deque(maxlen=thread_count * MAX_PREFETCH_PER_THREAD)
        self._threads = [
            threading.Thread(target=self._run, name=f"hand-{index}", daemon=True) for index in range(thread_count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_fast(self) -> bool:
        """Whether those that are at work will soon want something recorded: they take up passages faster than one
        for each hand in `AHEAD_SECONDS`."""
        return 0 < self._busy < self._count_recent_starts()

    @property
    def closed(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._closed

    def reserve(self, count: int, *, prefetch: bool = True) -> int:
        """Wait until there is room, and keep so many places (at most `wanted`) for passages that `give` brings or
        `give_back` does not; 0 once the hands are closed."""
        with self._changed:
            self._requested.append(count)
            self._changed.wait_for(lambda: self._closed or self._count_free(count, prefetch) > 0)
            self._requested.remove(count)
            free = 0 if self._closed else self._count_free(count, prefetch)
            self._reserved += free
            return free

    def submit(self, claimed: ClaimedExecution) -> bool:
        """Have a promised passage worked on; False once the hands are closed."""
        with self._changed:
            if self._closed:
                return False
            self._submitted.append(claimed)
        self._tokens.put(None)
        return True

    def release(self, count: int) -> None:
        """So many promised places are not needed after all."""
        with self._changed:
            self._reserved -= count
            self._changed.notify_all()

    def resume(self, work: Callable[[], bool]) -> None:
        """Have a passage taken up again that was not over; `work` answers as ever."""
        self._resumable.append(work)
        self._tokens.put(None)

    def close(self) -> list[ClaimedExecution]:
        """Take up nothing new; what was given and not begun. What was begun is gone on with."""
        with self._changed:
            self._closed = True
            unstarted = list(self._submitted)
            self._submitted.clear()
            self._changed.notify_all()
        self._wake_all()
        return unstarted

    def _count_free(self, count: int, prefetch: bool) -> int:
        slots = self._thread_count - self._in_progress + (self._count_recent_starts() if prefetch else 0)
        free = slots - self._reserved
        # A few at once rather than one by one: the next claim waits until half of the places are free.
        return min(count, free) if free >= min(count, (slots + 1) // 2) else 0

    def _count_recent_starts(self) -> int:
        """How many were taken up just now."""
        since = time.monotonic() - PREFETCH_WINDOW_SECONDS
        return len(self._starts) - bisect(self._starts, since)

    def _run(self) -> None:
        while (work := self._next_work()) is not None:
            is_finished = True
            try:
                is_finished = work()
            except Exception:
                # The execution stays under its lease; when that has run out, the sweep has it taken up again.
                log.exception("a hand dropped an execution")
            self._finish(is_finished)

    def _next_work(self) -> Callable[[], bool] | None:
        """What to do now; None once the hands are closed and everything is over."""
        while True:
            self._tokens.get()
            with self._changed:
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
            self._in_progress -= is_finished
            self._notify_waiters()
            is_idle = not (self._busy or self._resumable or self._submitted)
            is_done = self._closed and not self._in_progress
        if is_idle:
            self._on_idle()
        if is_done:
            self._wake_all()

    def _wake_all(self) -> None:
        for _ in self._threads:
            self._tokens.put(None)

    def _notify_waiters(self) -> None:
        # Waking a thread that finds no room is dear, and happened with every passage.
        if self._requested and self._count_free(min(self._requested), True) > 0:
            self._changed.notify_all()
