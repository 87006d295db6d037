"""Feeds: what many watch is read and written down once a tick, however many they are.

A feed begins with its first watcher and ends after its last. A watcher has no queue: it is handed the newest frame when
it can take one, so that a slow one gets fewer and holds up nobody, and one that left costs nothing. Streams end after a
minute, and within seconds when their permit is over; browsers come back by themselves.

The feeds know nothing of what they carry: `read` answers the text for a key, or None where there is nothing any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import structlog

import metrics
from dashboard.live.permits import Permit
from models.database import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

#: A reading may take this part of the time at most: a slow one is done less often.
MAX_READ_SHARE = 0.25
#: A stream looks at its permit at least once in so many seconds.
PERMIT_SECONDS = 1.0
#: Browsers come back after so many milliseconds.
RETRY_MS = 2000

Read = Callable[[Any], "str | None"]


@dataclass(frozen=True)
class Pace:
    """Seconds: from one frame to the next, of the longest stream, and between two signs of life."""

    tick: float = 2.0
    stream: float = 60.0
    ping: float = 10.0


class Full(Exception):
    """As many watch as may, or the process is about to stop."""


class Frame:
    """One reading, as it is sent; `superseded` is set when there is a newer one."""

    def __init__(self, text: str) -> None:
        self.read_at = time.monotonic()
        number = int(time.time() * 1000)
        self.payload = f"event: snapshot\nid: {number}\ndata: {text}\n\n".encode()
        self.superseded = threading.Event()


class Feed:
    """What one key's watchers see; its thread lives as long as somebody watches."""

    def __init__(self, key: Hashable, read: Read, pace: Pace) -> None:
        self.key = key
        self.pace = pace
        self.watchers = 0
        self.frame: Frame | None = None
        #: There is nothing to be read any more, or the process stops: streams end.
        self._is_over = False
        self.is_running = False
        self._read = read
        self._reading = threading.Lock()
        self._pause = pace.tick
        self._wake = threading.Event()

    def read_newest(self) -> Frame | None:
        """The newest frame; read now where the one that is there is older than a tick."""
        with self._reading:
            if self.frame is None or time.monotonic() - self.frame.read_at > self._pause:
                self._refresh()
            return self.frame

    def is_over(self) -> bool:
        """Whether its streams are to end."""
        return self._is_over

    def is_stale(self) -> bool:
        """Whether its newest frame serves nobody any more."""
        return self.frame is not None and time.monotonic() - self.frame.read_at > self.pace.stream

    def run(self) -> None:
        """Read again and again while somebody watches."""
        while self.watchers and not self._is_over:
            frame = self.frame
            due_at = (frame.read_at if frame else time.monotonic()) + self._pause
            if self._wake.wait(max(0.0, due_at - time.monotonic())):
                break
            try:
                with self._reading:
                    self._refresh()
            except CONNECTION_ERRORS as error:
                # No frame is the truth: a page that gets none says that it is not live.
                log.warning("the monitor could not be read", error=str(error).strip())
                self._wake.wait(self.pace.tick)
            except Exception as error:
                log.error("the monitor could not be read", exc_info=error)
                self._wake.wait(self.pace.tick)

    def end(self) -> None:
        """Let every stream of this feed end at once."""
        self._is_over = True
        self._wake.set()
        if self.frame is not None:
            self.frame.superseded.set()

    def _refresh(self) -> None:
        started_at = time.monotonic()
        text = self._read(self.key)
        elapsed = time.monotonic() - started_at
        metrics.monitor_tick_seconds.observe(elapsed)
        self._pause = max(self.pace.tick, elapsed / MAX_READ_SHARE)
        previous, self.frame = self.frame, None if text is None else Frame(text)
        self._is_over = self._is_over or text is None
        if previous is not None:
            previous.superseded.set()


class Feeds:
    """Every feed of this process, and how many may watch in all."""

    def __init__(self, read: Read, max_watchers: int, pace: Pace | None = None) -> None:
        self.watchers = 0
        self._read = read
        self._max_watchers = max_watchers
        self._pace = pace or Pace()
        self._feeds: dict[Hashable, Feed] = {}
        self._lock = threading.Lock()
        self._closed = False

    def open(self, key: Hashable, permit: Permit | None = None) -> Iterator[bytes] | None:
        """A stream of this key; None where there is nothing to see. Raises `Full`, and what `read` raises.

        The stream holds the `permit` while it is open, and ends with it; without one it lasts its whole time.
        """
        self._admit()
        feed = self._find_or_create(key)
        try:
            first = feed.read_newest()
        except BaseException:
            self._forget(feed)
            raise
        if first is None or feed.is_over():
            self._forget(feed)
            return None
        # Others came while this one waited for its first reading.
        self._admit()
        return self._stream(feed, first, permit)

    def close(self) -> None:
        """End every stream at once, and begin no other."""
        self._closed = True
        for feed in list(self._feeds.values()):
            feed.end()

    def _admit(self) -> None:
        if self._closed or self.watchers >= self._max_watchers:
            raise Full

    def _find_or_create(self, key: Hashable) -> Feed:
        with self._lock:
            existing = self._feeds.get(key)
            if existing is not None and not existing.is_over():
                return existing
            # A stream that was opened and never begun leaves its feed behind, until somebody opens another.
            self._feeds = {
                other_key: other_feed
                for other_key, other_feed in self._feeds.items()
                if other_feed.watchers or not other_feed.is_stale()
            }
            feed = self._feeds[key] = Feed(key, self._read, self._pace)
            return feed

    def _stream(self, feed: Feed, first: Frame, permit: Permit | None) -> Iterator[bytes]:
        self._enter(feed)
        try:
            with permit or nullcontext():
                yield f"retry: {RETRY_MS}\n: ping\n\n".encode() + first.payload
                yield from _iter_frames(feed, first, permit)
        finally:
            self._leave(feed)

    def _enter(self, feed: Feed) -> None:
        with self._lock:
            self.watchers += 1
            feed.watchers += 1
            must_start = not feed.is_running
            feed.is_running = True
        metrics.sse_clients.set(self.watchers)
        if must_start:
            threading.Thread(target=self._run, args=(feed,), name="feed", daemon=True).start()

    def _leave(self, feed: Feed) -> None:
        with self._lock:
            self.watchers -= 1
            feed.watchers -= 1
        metrics.sse_clients.set(self.watchers)

    def _run(self, feed: Feed) -> None:
        while True:
            feed.run()
            with self._lock:
                # Somebody may have come while the last reading was made.
                if feed.watchers and not feed.is_over():
                    continue
                feed.is_running = False
            self._forget(feed)
            return

    def _forget(self, feed: Feed) -> None:
        with self._lock:
            if self._feeds.get(feed.key) is feed and (feed.is_over() or not feed.watchers):
                del self._feeds[feed.key]


def _iter_frames(feed: Feed, frame: Frame, permit: Permit | None) -> Iterator[bytes]:
    """The frames after this one, and pings between them, until the stream's time or its permit is over.

    A stream ends with a frame, so that whoever comes back after `RETRY_MS` has missed none.
    """
    ends_at = time.monotonic() + feed.pace.stream
    next_ping_at = time.monotonic() + feed.pace.ping
    while not feed.is_over() and (remaining := ends_at - time.monotonic()) > 0:
        frame.superseded.wait(min(remaining, PERMIT_SECONDS, max(0.0, next_ping_at - time.monotonic())))
        if feed.is_over() or (permit is not None and permit.is_over):
            return
        if time.monotonic() >= next_ping_at:
            next_ping_at = time.monotonic() + feed.pace.ping
            yield b": ping\n\n"
        newest = feed.frame
        if newest is not None and newest is not frame:
            frame = newest
            yield frame.payload
            if ends_at - time.monotonic() < feed.pace.tick:
                return
