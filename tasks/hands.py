"""The threads that work on executions, and how many executions are claimed before a thread is free for them.

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
MOST_AHEAD_OF_A_HAND = 4


class Hands:
    """So many threads, each doing `work` with one passage at a time."""

    def __init__(self, number: int, work: Callable[[Passage], None]) -> None:
        self._work = work
        self._given: queue.SimpleQueue[Passage | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._number = self._free = number
        self._promised = 0
        self._wanted: list[int] = []
        self._closed = False
        self._taken_up: deque[float] = deque(maxlen=number * MOST_AHEAD_OF_A_HAND)
        self._threads = [threading.Thread(target=self._run, name=f"hand-{one}", daemon=True) for one in range(number)]
        for thread in self._threads:
            thread.start()

    @property
    def at_work(self) -> int:
        """How many have a passage in hand, and will soon want something recorded; none where they wait for something
        slow, so that less than one passage for each hand was taken up just now."""
        busy = self._number - self._free
        return busy if self._quick() > busy else 0

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
            if not self._closed:
                self._given.put(passage)
            return not self._closed

    def give_back(self, places: int) -> None:
        """So many promised places are not needed after all."""
        with self._changed:
            self._promised -= places
            self._changed.notify_all()

    def close(self) -> list[Passage]:
        """Take up no more; what was given and not begun."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        left = []
        while not self._given.empty():
            passage = self._given.get()
            if passage is not None:
                left.append(passage)
        for _ in self._threads:
            self._given.put(None)
        return left

    def _room(self, wanted: int, ahead: bool) -> int:
        places = self._free + (self._quick() if ahead else 0)
        room = places - self._promised
        # A few at once rather than one by one: the next claim waits until half of the places are free.
        return min(wanted, room) if room >= min(wanted, (places + 1) // 2) else 0

    def _quick(self) -> int:
        """How many were taken up just now."""
        since = time.monotonic() - AHEAD_SECONDS
        return len(self._taken_up) - bisect(self._taken_up, since)

    def _run(self) -> None:
        while (passage := self._given.get()) is not None:
            self._take_up()
            try:
                self._work(passage)
            except Exception:
                # The execution stays under its lease; when that has run out, the sweep has it taken up again.
                log.exception("a hand dropped an execution", execution_id=passage.execution_id)
            self._put_down()

    def _take_up(self) -> None:
        with self._changed:
            self._free -= 1
            self._promised -= 1
            self._taken_up.append(time.monotonic())
            self._tell()

    def _put_down(self) -> None:
        with self._changed:
            self._free += 1
            self._tell()

    def _tell(self) -> None:
        # Waking a thread that finds no room is dear, and happened with every passage.
        if self._wanted and self._room(min(self._wanted), True) > 0:
            self._changed.notify_all()
