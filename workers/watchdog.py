"""Ends a process in which something hangs, for example a call on a connection whose other end is gone.

A thread counts the seconds that each watched activity makes no progress. It counts its own ticks and reads no clock, so
a process that was stopped and woken has not hung.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0


class Activity:
    """Something that must make progress at least every `limit_seconds`."""

    def __init__(self, name: str, limit_seconds: float) -> None:
        self.name = name
        self._limit = limit_seconds / TICK_SECONDS
        self._ticks = 0

    def note_progress(self) -> None:
        """Count from the beginning."""
        self._ticks = 0

    def tick(self) -> bool:
        """Count one tick; return whether the limit is passed."""
        self._ticks += 1
        return self._ticks > self._limit


class Watchdog:
    """Watches activities; calls `end` with the name of the first that hangs, and then watches no more."""

    def __init__(self, end: Callable[[str], None]) -> None:
        self._end = end
        self._activities: set[Activity] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> Watchdog:
        """Watch on a separate thread until `stop`."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()

    @contextmanager
    def watch(self, name: str, limit_seconds: float) -> Iterator[Activity]:
        """Watch the block, which reports its progress."""
        activity = Activity(name, limit_seconds)
        self._activities.add(activity)
        try:
            yield activity
        finally:
            self._activities.discard(activity)

    def _run(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            hanging = [activity for activity in tuple(self._activities) if activity.tick()]
            if hanging:
                self._end(hanging[0].name)
                return


def end_process(activity: str) -> None:
    """End this process at once, because `activity` hangs; supervisord starts another."""
    log.critical("the process hangs and ends itself", activity=activity)
    os._exit(1)
