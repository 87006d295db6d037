"""A feed is read once per tick for all watchers, and never without watchers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from dashboard.live.feeds import RETRY_MS, Feeds, FeedTiming, FeedUnavailable
from tests.support.waiting import eventually

QUICK = FeedTiming(frame_seconds=0.05, stream_seconds=2.0, ping_seconds=0.2)
#: Longer than a test: after the first frame nothing comes by itself, and no stream ends.
ENDLESS = FeedTiming(frame_seconds=3600.0, stream_seconds=3600.0, ping_seconds=3600.0)


class Source:
    """A readable object that counts its readings."""

    def __init__(self) -> None:
        self.reads = 0
        self.readers: set[int] = set()
        self.text: str | None = "one"
        self.broken = False

    def read(self, _: Any) -> str | None:
        self.reads += 1
        self.readers.add(threading.get_ident())
        if self.broken:
            raise psycopg2.OperationalError("gone")
        return self.text


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def feeds(source: Source) -> Iterator[Feeds]:
    feeds = Feeds(source.read, max_watchers=200, timing=QUICK)
    yield feeds
    feeds.close()


def open_stream(feeds: Feeds, key: str = "a") -> Iterator[bytes]:
    stream = feeds.open(key)
    assert stream is not None
    return stream


def test_a_feed_of_changes_sends_no_frame_that_equals_the_one_before(source: Source) -> None:
    timing = FeedTiming(frame_seconds=0.01, stream_seconds=3600.0, ping_seconds=0.3, sends_unchanged=False)
    feeds = Feeds(source.read, max_watchers=1, timing=timing)
    stream = open_stream(feeds)
    assert b"data: one" in next(stream)
    assert next(stream) == b": ping\n\n"
    assert source.reads > 2
    source.text = "two"
    assert any(b"data: two" in frame for frame in stream)
    feeds.close()


def test_a_hundred_watchers_who_come_within_a_tick_share_one_reading(source: Source) -> None:
    feeds = Feeds(source.read, max_watchers=200, timing=ENDLESS)
    for stream in [open_stream(feeds) for _ in range(100)]:
        assert b"data: one" in next(stream)
    assert source.reads == 1
    feeds.close()


def test_the_frames_of_a_hundred_watchers_are_read_by_the_feed_alone(feeds: Feeds, source: Source) -> None:
    streams = [open_stream(feeds) for _ in range(100)]
    for stream in streams:
        next(stream)
    source.readers.clear()
    source.text = "two"
    for stream in streams:
        while b"data: two" not in next(stream):
            pass
    (reader,) = source.readers
    assert reader != threading.get_ident()
    assert feeds.watchers == 100


def test_a_slow_reader_gets_the_newest_frame_only(feeds: Feeds, source: Source) -> None:
    slow, quick = open_stream(feeds), open_stream(feeds)
    next(slow), next(quick)
    source.text = "two"
    while b"data: two" not in next(quick):
        pass
    source.text = "three"
    while b"data: three" not in next(quick):
        pass
    assert b"data: three" in next(slow)


def test_reading_stops_after_the_last_watcher_leaves(feeds: Feeds, source: Source) -> None:
    stream: Any = open_stream(feeds)
    next(stream), next(stream)
    stream.close()
    assert feeds.watchers == 0
    # The thread of the feed removes it as its last action.
    eventually(lambda: not feeds._feeds)


def test_a_stream_ends_with_a_frame(feeds: Feeds) -> None:
    frames = list(open_stream(feeds))
    assert len(frames) > 3
    assert b"event: snapshot" in frames[-1]


def test_a_snapshot_comes_every_two_seconds_for_a_minute() -> None:
    assert (FeedTiming().frame_seconds, FeedTiming().stream_seconds) == (2.0, 60.0)
    assert FeedTiming().frame_seconds * 1000 == RETRY_MS


def test_all_streams_end_when_the_process_stops(source: Source) -> None:
    feeds, ended = Feeds(source.read, max_watchers=200, timing=ENDLESS), []

    def watch() -> None:
        ended.append(len(list(open_stream(feeds))))

    threads = [threading.Thread(target=watch) for _ in range(10)]
    for thread in threads:
        thread.start()
    eventually(lambda: feeds.watchers == 10)
    feeds.close()
    for thread in threads:
        thread.join(10)
    assert ended == [1] * 10
    with pytest.raises(FeedUnavailable):
        feeds.open("a")


def test_a_stream_pings_while_reading_fails_and_then_continues(feeds: Feeds, source: Source) -> None:
    stream = open_stream(feeds)
    next(stream)
    source.broken = True
    while next(stream) != b": ping\n\n":
        pass
    source.broken, source.text = False, "again"
    while b"data: again" not in next(stream):
        pass


def test_a_deleted_object_ends_its_streams(feeds: Feeds, source: Source) -> None:
    stream = open_stream(feeds)
    next(stream)
    source.text = None
    for _ in stream:
        pass
    assert feeds.open("a") is None


def test_the_first_watcher_gets_the_error_of_a_failed_reading(feeds: Feeds, source: Source) -> None:
    source.broken = True
    with pytest.raises(psycopg2.OperationalError):
        feeds.open("a")
    source.broken = False
    assert b"data: one" in next(open_stream(feeds))


def test_the_number_of_watchers_is_limited(source: Source) -> None:
    feeds = Feeds(source.read, max_watchers=2, timing=QUICK)
    streams = [open_stream(feeds), open_stream(feeds)]
    assert all(next(stream) for stream in streams)
    with pytest.raises(FeedUnavailable):
        open_stream(feeds)


def test_the_limit_is_checked_again_after_the_first_reading() -> None:
    waits, may_read, refused = threading.Event(), threading.Event(), threading.Event()

    def read(key: Any) -> str:
        if key == "slow":
            waits.set()
            assert may_read.wait(10)
        return "one"

    def open_late() -> None:
        with pytest.raises(FeedUnavailable):
            feeds.open("slow")
        refused.set()

    feeds = Feeds(read, max_watchers=1, timing=QUICK)
    late = threading.Thread(target=open_late)
    late.start()
    assert waits.wait(10)
    first = open_stream(feeds)
    next(first)
    may_read.set()
    late.join(10)
    assert refused.is_set()
    feeds.close()
