"""The group door: concurrent callers share a write, a bad item fails alone, and waiting is bounded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import peewee
import pytest

from models.engine import group_door
from models.engine.group_door import DoorBusy, GroupDoor
from tests.support.waiting import eventually


class Store:
    """Keeps the batches that it is given; `gate` holds every write while it is closed."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.started: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def write(self, items: list[str]) -> list[str]:
        self.started.append(items)
        assert self.gate.wait(20)
        if "bad" in items:
            raise ValueError("bad")
        if "gone" in items:
            raise peewee.OperationalError("gone")
        if "end" in items:
            raise SystemExit
        self.batches.append(items)
        return [item.upper() for item in items]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(20) as executor:
        yield executor


def build_door(store: Store, **options: Any) -> GroupDoor[str, str]:
    return GroupDoor(store.write, measure=len, **options)


def submit_behind(store: Store, door: GroupDoor[str, str], pool: ThreadPoolExecutor, *items: str) -> list[Future[str]]:
    """Submit `first`, whose write is held, then the items one after the other behind it."""
    store.gate.clear()
    futures = [pool.submit(door.submit, "first")]
    eventually(lambda: store.started)
    for count, item in enumerate(items, 1):
        futures.append(pool.submit(door.submit, item))
        eventually(lambda count=count: len(door._waiting) == count)
    return futures


def test_a_single_item_is_written_at_once_in_its_own_thread(store: Store) -> None:
    threads: list[str] = []
    door = GroupDoor(lambda items: threads.append(threading.current_thread().name) or items, measure=len)
    assert door.submit("a") == "a"
    assert threads == [threading.current_thread().name]


def test_items_that_arrive_during_a_write_share_the_next(store: Store, pool: ThreadPoolExecutor) -> None:
    door = build_door(store)
    futures = submit_behind(store, door, pool, "a", "b", "c")
    store.gate.set()
    assert [future.result(10) for future in futures] == ["FIRST", "A", "B", "C"]
    assert store.batches == [["first"], ["a", "b", "c"]]


def test_a_write_waits_for_as_many_as_the_last_one_had_and_left(
    store: Store, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = build_door(store)
    futures = submit_behind(store, door, pool, "a", "b", "c")
    monkeypatch.setattr(group_door, "COMPANY_SECONDS", 20)
    store.gate.set()
    assert futures[0].result(10) == "FIRST"
    assert store.started == [["first"]]
    futures.append(pool.submit(door.submit, "d"))
    assert [future.result(10) for future in futures] == ["FIRST", "A", "B", "C", "D"]
    assert store.batches == [["first"], ["a", "b", "c", "d"]]


def test_whoever_is_left_alone_waits_once_and_then_for_nobody(
    store: Store, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = build_door(store)
    futures = submit_behind(store, door, pool, "a", "b", "x")
    store.gate.set()
    assert [future.result(10) for future in futures] == ["FIRST", "A", "B", "X"]
    assert door.submit("c") == "C"
    monkeypatch.setattr(group_door, "COMPANY_SECONDS", None)
    assert door.submit("d") == "D"


def test_a_bad_item_fails_alone(store: Store, pool: ThreadPoolExecutor) -> None:
    door = build_door(store)
    futures = submit_behind(store, door, pool, "a", "b", "bad", "c", "d")
    store.gate.set()
    with pytest.raises(ValueError, match="bad"):
        futures[3].result(10)
    assert [future.result(10) for future in futures if future is not futures[3]] == ["FIRST", "A", "B", "C", "D"]
    assert sorted(item for batch in store.batches for item in batch) == ["a", "b", "c", "d", "first"]


def test_without_a_server_everybody_gets_its_error_and_nothing_is_tried_twice(
    store: Store, pool: ThreadPoolExecutor
) -> None:
    door = build_door(store)
    futures = submit_behind(store, door, pool, "a", "gone", "b")
    store.gate.set()
    assert futures[0].result(10) == "FIRST"
    for future in futures[1:]:
        with pytest.raises(peewee.OperationalError, match="gone"):
            future.result(10)
    assert store.started == [["first"], ["a", "gone", "b"]]
    assert door.submit("later") == "LATER"


def test_a_thread_that_is_ended_while_it_writes_leaves_nobody_waiting(store: Store, pool: ThreadPoolExecutor) -> None:
    door = build_door(store)
    futures = submit_behind(store, door, pool, "end", "a")
    store.gate.set()
    for future in futures[1:]:
        with pytest.raises(SystemExit):
            future.result(10)
    assert door.submit("later") == "LATER"


def test_waiting_is_bounded_in_bytes_but_one_large_item_is_written(store: Store, pool: ThreadPoolExecutor) -> None:
    door = build_door(store, max_waiting_bytes=10)
    assert door.submit("x" * 100) == "X" * 100
    futures = submit_behind(store, door, pool, "a" * 10)
    with pytest.raises(DoorBusy, match="too many"):
        door.submit("b")
    store.gate.set()
    assert futures[1].result(10) == "A" * 10
    assert door.submit("b") == "B"


def test_a_batch_is_bounded_in_bytes(store: Store, pool: ThreadPoolExecutor) -> None:
    door = build_door(store, max_batch_bytes=5)
    futures = submit_behind(store, door, pool, "aa", "bb", "cc", "d" * 9, "e")
    store.gate.set()
    for future in futures:
        future.result(10)
    assert store.batches == [["first"], ["aa", "bb"], ["cc"], ["d" * 9], ["e"]]


def test_an_item_that_waits_too_long_is_given_up_unwritten(store: Store, pool: ThreadPoolExecutor) -> None:
    door = build_door(store, max_wait_seconds=0.01)
    store.gate.clear()
    first = pool.submit(door.submit, "first")
    eventually(lambda: store.started)
    with pytest.raises(DoorBusy, match="too long"):
        door.submit("late")
    store.gate.set()
    assert first.result(10) == "FIRST"
    assert store.batches == [["first"]]


def test_an_item_that_is_being_written_is_waited_for(store: Store, pool: ThreadPoolExecutor) -> None:
    gate = threading.Event()

    def write(items: list[str]) -> list[str]:
        store.started.append(items)
        assert gate.wait(20)
        return items

    door = GroupDoor(write, measure=len, max_wait_seconds=0.5)
    first = pool.submit(door.submit, "first")
    eventually(lambda: store.started)
    others = [pool.submit(door.submit, item) for item in "ab"]
    eventually(lambda: len(door._waiting) == 2)
    gate.set()
    assert [future.result(10) for future in (first, *others)] == ["first", "a", "b"]


def test_the_notice_after_a_write_holds_up_only_its_own_thread(store: Store, pool: ThreadPoolExecutor) -> None:
    held: Callable[[], None]
    notified = threading.Event()
    notices: list[int] = []

    def held() -> None:
        notices.append(1)
        if len(notices) == 1:
            assert notified.wait(20)

    door = build_door(store, after_write=held)
    futures = submit_behind(store, door, pool, "a", "b")
    store.gate.set()
    assert [future.result(10) for future in futures[1:]] == ["A", "B"]
    assert not futures[0].done()
    notified.set()
    assert futures[0].result(10) == "FIRST"


def test_many_threads_lose_and_double_nothing(store: Store, pool: ThreadPoolExecutor) -> None:
    door = build_door(store, max_batch_bytes=50)
    items = [f"item-{number}" for number in range(2000)]
    assert list(pool.map(door.submit, items)) == [item.upper() for item in items]
    assert sorted(item for batch in store.batches for item in batch) == sorted(items)
