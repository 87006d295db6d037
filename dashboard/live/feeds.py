"""Feeds: one reading and one serialization per key and tick, however many clients watch it.

A feed starts with its first watcher and ends after its last. Watchers have no queue: each gets the newest frame when it
can take one, so a slow watcher gets fewer frames and delays no other. Streams end after a minute, and within seconds
after their access is revoked; browsers reconnect.

Feeds do not know their content: `read` returns the text for a key, or None where the object does not exist.
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
from dashboard.live.stream_access import StreamAccess
from models.database import CONNECTION_ERRORS

log = structlog.get_logger(__name__)

#: The maximum share of time spent reading: slow readings run less often.
MAX_READ_SHARE = 0.25
#: Milliseconds after which browsers reconnect.
RETRY_MS = 2000
#: Seconds between a stream's looks at its access.
ACCESS_CHECK_SECONDS = 1.0

Read = Callable[[Any], "str | None"]


@dataclass(frozen=True)
class FeedTiming:
    """The interval of frames, the maximum length of a stream, the interval of pings, and when browsers reconnect."""

    frame_seconds: float = 2.0
    stream_seconds: float = 60.0
    ping_seconds: float = 10.0
    retry_ms: int = RETRY_MS
    #: Whether a reading that equals the one before is a frame too, so that a page sees that its stream lives.
    sends_unchanged: bool = True


class FeedUnavailable(Exception):
    """No stream can be opened: the limit of watchers is reached, or the process is stopping."""


class Frame:
    """One reading, as sent; `superseded` is set once there is a newer one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.read_at = time.monotonic()
        number = int(time.time() * 1000)
        self.payload = f"event: snapshot\nid: {number}\ndata: {text}\n\n".encode()
        self.superseded = threading.Event()


class Feed:
    """The feed of one key; its thread runs while it has watchers."""

    def __init__(self, key: Hashable, read: Read, timing: FeedTiming) -> None:
        self.key = key
        self.timing = timing
        self.watchers = 0
        self.frame: Frame | None = None
        #: The object does not exist any more, or the process stops: streams end.
        self._is_over = False
        self.is_running = False
        self._read = read
        self._reading = threading.Lock()
        self._pause = timing.frame_seconds
        self._wake = threading.Event()

    def read_newest(self) -> Frame | None:
        """The newest frame; read now where the last one is older than a tick."""
        with self._reading:
            if self.frame is None or time.monotonic() - self.frame.read_at > self._pause:
                self._refresh()
            return self.frame

    def is_over(self) -> bool:
        """Whether its streams must end."""
        return self._is_over

    def is_stale(self) -> bool:
        """Whether its newest frame is older than a stream lasts."""
        return self.frame is not None and time.monotonic() - self.frame.read_at > self.timing.stream_seconds

    def run(self) -> None:
        """Read in a loop while there are watchers."""
        while self.watchers and not self._is_over:
            frame = self.frame
            due_at = (frame.read_at if frame else time.monotonic()) + self._pause
            if self._wake.wait(max(0.0, due_at - time.monotonic())):
                break
            try:
                with self._reading:
                    self._refresh()
            except CONNECTION_ERRORS as error:
                # Send no frame: a page without frames shows that it is disconnected.
                log.warning("the monitor could not be read", error=str(error).strip())
                self._wake.wait(self.timing.frame_seconds)
            except Exception as error:
                log.error("the monitor could not be read", exc_info=error)
                self._wake.wait(self.timing.frame_seconds)

    def end(self) -> None:
        """End all streams of this feed at once."""
        self._is_over = True
        self._wake.set()
        if self.frame is not None:
            self.frame.superseded.set()

    def _refresh(self) -> None:
        started_at = time.monotonic()
        text = self._read(self.key)
        elapsed = time.monotonic() - started_at
        metrics.monitor_tick_seconds.observe(elapsed)
        self._pause = max(self.timing.frame_seconds, elapsed / MAX_READ_SHARE)
        if not self.timing.sends_unchanged and self.frame is not None and self.frame.text == text:
            self.frame.read_at = time.monotonic()
            return
        previous, self.frame = self.frame, None if text is None else Frame(text)
        self._is_over = self._is_over or text is None
        if previous is not None:
            previous.superseded.set()


class Feeds:
    """All feeds of this process, with a limit of watchers."""

    def __init__(self, read: Read, max_watchers: int, timing: FeedTiming | None = None) -> None:
        self.watchers = 0
        self._read = read
        self._max_watchers = max_watchers
        self._timing = timing or FeedTiming()
        self._feeds: dict[Hashable, Feed] = {}
        self._lock = threading.Lock()
        self._closed = False

    def open(
        self, key: Hashable, access: StreamAccess | None = None, timing: FeedTiming | None = None
    ) -> Iterator[bytes] | None:
        """A stream of this key; None where there is no such object. Raises `FeedUnavailable` and the errors of `read`.

        The stream registers the `access` while it is open and ends when it is revoked. `timing` is that of every stream
        of this key, if it differs from the others'.
        """
        self._admit()
        feed = self._find_or_create(key, timing or self._timing)
        try:
            first = feed.read_newest()
        except BaseException:
            self._forget(feed)
            raise
        if first is None or feed.is_over():
            self._forget(feed)
            return None
        # Other watchers may have come during the first reading.
        self._admit()
        return self._stream(feed, first, access)

    def close(self) -> None:
        """End all streams and admit no more."""
        self._closed = True
        for feed in list(self._feeds.values()):
            feed.end()

    def _admit(self) -> None:
        if self._closed or self.watchers >= self._max_watchers:
            raise FeedUnavailable

    def _find_or_create(self, key: Hashable, timing: FeedTiming) -> Feed:
        with self._lock:
            existing = self._feeds.get(key)
            if existing is not None and not existing.is_over():
                return existing
            # A stream that was opened and never read leaves its feed behind: remove those here.
            self._feeds = {
                other_key: other_feed
                for other_key, other_feed in self._feeds.items()
                if other_feed.watchers or not other_feed.is_stale()
            }
            feed = self._feeds[key] = Feed(key, self._read, timing)
            return feed

    def _stream(self, feed: Feed, first: Frame, access: StreamAccess | None) -> Iterator[bytes]:
        self._enter(feed)
        try:
            with access or nullcontext():
                yield f"retry: {feed.timing.retry_ms}\n: ping\n\n".encode() + first.payload
                yield from _iter_frames(feed, first, access)
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
                # A watcher may have come during the last reading.
                if feed.watchers and not feed.is_over():
                    continue
                feed.is_running = False
            self._forget(feed)
            return

    def _forget(self, feed: Feed) -> None:
        with self._lock:
            if self._feeds.get(feed.key) is feed and (feed.is_over() or not feed.watchers):
                del self._feeds[feed.key]


def _iter_frames(feed: Feed, frame: Frame, access: StreamAccess | None) -> Iterator[bytes]:
    """The frames after this one, with pings between them, until the stream's time ends or its access is revoked.

    A stream ends with a frame, so that a client that reconnects after `retry_ms` misses none.
    """
    ends_at = time.monotonic() + feed.timing.stream_seconds
    next_ping_at = time.monotonic() + feed.timing.ping_seconds
    while not feed.is_over() and (remaining := ends_at - time.monotonic()) > 0:
        frame.superseded.wait(min(remaining, ACCESS_CHECK_SECONDS, max(0.0, next_ping_at - time.monotonic())))
        if feed.is_over() or (access is not None and access.is_revoked):
            return
        if time.monotonic() >= next_ping_at:
            next_ping_at = time.monotonic() + feed.timing.ping_seconds
            yield b": ping\n\n"
        newest = feed.frame
        if newest is not None and newest is not frame:
            frame = newest
            yield frame.payload
            if ends_at - time.monotonic() < feed.timing.frame_seconds:
                return
