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

from tasks.passage import Passage

log = structlog.get_logger(__name__)

#: How long an execution should wait for a hand at most, once it is claimed.
AHEAD_SECONDS = 0.05
#: No more than this many wait for each hand, however quick it is.
MOST_AHEAD_OF_A_HAND = 16
#: So many announced passages are kept while there is a new one to announce.
IN_STORE = 1


class Hands:
    """So many threads, each doing `work` with one passage at a time; `work` answers whether the passage is over, and
    `idle` is told when no thread has anything to do."""

    def __init__(self, number: int, work: Callable[[Passage], bool], idle: Callable[[], None]) -> None:
        self._work = work
        self._idle = idle
        self._changed = threading.Condition(threading.Lock())
        self._new: deque[Passage] = deque()
        self._to_go_on: deque[Callable[[], bool]] = deque()
        #: One token for each of both, and for whatever else is to be looked at.
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._number = number
        self._busy = 0
        #: Passages that were taken up and are not over: in a hand, waiting for their record, or for a hand again.
        self._open = 0
        self._promised = 0
        self._wanted: list[int] = []
        self._closed = False
        self._taken_up: deque[float] = deque(maxlen=number * MOST_AHEAD_OF_A_HAND)
        self._threads = [threading.Thread(target=self._run, name=f"hand-{one}", daemon=True) for one in range(number)]
        for thread in self._threads:
            thread.start()

    @property
    def are_quick(self) -> bool:
        """Whether those that are at work will soon want something recorded: they take up passages faster than one
        for each hand in `AHEAD_SECONDS`."""
        return 0 < self._busy < self._quick()

    @property
    def closed(self) -> bool:
        """Whether nothing new is to be begun."""
        return self._closed

    def promise(self, wanted: int, *, ahead: bool = True) -> int:
        """Wait until there is room, and keep so many places (at most `wanted`) for passages that `give` brings or
        `give_back` does not; 0 once the hands are closed."""
        with self._changed:
            self._wanted.append(wanted)
            self._changed.wait_for(lambda: self._closed or self._room(wanted, ahead) > 0)
            self._wanted.remove(wanted)
            room = 0 if self._closed else self._room(wanted, ahead)
            self._promised += room
            return room

    def give(self, passage: Passage) -> bool:
        """Have a promised passage worked on; False once the hands are closed."""
        with self._changed:
            if self._closed:
                return False
            self._new.append(passage)
        self._tokens.put(None)
        return True

    def give_back(self, places: int) -> None:
        """So many promised places are not needed after all."""
        with self._changed:
            self._promised -= places
            self._changed.notify_all()

    def go_on(self, work: Callable[[], bool]) -> None:
        """Have a passage taken up again that was not over; `work` answers as ever."""
        self._to_go_on.append(work)
        self._tokens.put(None)

    def close(self) -> list[Passage]:
        """Take up nothing new; what was given and not begun. What was begun is gone on with."""
        with self._changed:
            self._closed = True
            left = list(self._new)
            self._new.clear()
            self._changed.notify_all()
        self._wake_all()
        return left

    def _room(self, wanted: int, ahead: bool) -> int:
        places = self._number - self._open + (self._quick() if ahead else 0)
        room = places - self._promised
        # A few at once rather than one by one: the next claim waits until half of the places are free.
        return min(wanted, room) if room >= min(wanted, (places + 1) // 2) else 0

    def _quick(self) -> int:
        """How many were taken up just now."""
        since = time.monotonic() - AHEAD_SECONDS
        return len(self._taken_up) - bisect(self._taken_up, since)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            over = True
            try:
                over = work()
            except Exception:
                # The execution stays under its lease; when that has run out, the sweep has it taken up again.
                log.exception("a hand dropped an execution")
            self._put_down(over)

    def _next(self) -> Callable[[], bool] | None:
        """What to do now; None once the hands are closed and everything is over."""
        while True:
            self._tokens.get()
            with self._changed:
                if len(self._to_go_on) > IN_STORE or (self._to_go_on and not self._new):
                    self._busy += 1
                    return self._to_go_on.popleft()
                if self._new:
                    return self._begun(self._new.popleft())
                if self._closed and not self._open:
                    return None

    def _begun(self, passage: Passage) -> Callable[[], bool]:
        self._busy += 1
        self._open += 1
        self._promised -= 1
        self._taken_up.append(time.monotonic())
        self._tell()
        return lambda: self._work(passage)

    def _put_down(self, over: bool) -> None:
        with self._changed:
            self._busy -= 1
            self._open -= over
            self._tell()
            is_idle = not (self._busy or self._to_go_on or self._new)
            ends = self._closed and not self._open
        if is_idle:
            self._idle()
        if ends:
            self._wake_all()

    def _wake_all(self) -> None:
        for _ in self._threads:
            self._tokens.put(None)

    def _tell(self) -> None:
        # Waking a thread that finds no room is dear, and happened with every passage.
        if self._wanted and self._room(min(self._wanted), True) > 0:
            self._changed.notify_all()
