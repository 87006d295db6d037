"""The switch interval of a process is short while many of its threads compute, and Python's own otherwise."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.waiting import eventually
from workers.thread_switching import CALM_SECONDS, CROWD, CROWDED_SECONDS, adjust_interval, choose_interval


@contextmanager
def run_threads(count: int, target: object) -> Iterator[threading.Event]:
    """Run `target` on so many threads until the end of the block, when its event is set."""
    stopping = threading.Event()
    threads = [threading.Thread(target=target, args=(stopping,)) for _ in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    try:
        yield stopping
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def adjusted() -> Iterator[None]:
    """The interval of this process is adjusted, and restored at the end."""
    interval = sys.getswitchinterval()
    with run_threads(1, adjust_interval):
        yield
    sys.setswitchinterval(interval)


def compute(stopping: threading.Event) -> None:
    while not stopping.is_set():
        sum(range(1000))


@pytest.mark.usefixtures("adjusted")
def test_the_interval_is_short_while_many_threads_compute() -> None:
    with run_threads(4 * CROWD, compute):
        eventually(lambda: sys.getswitchinterval() == pytest.approx(CROWDED_SECONDS))
    eventually(lambda: sys.getswitchinterval() == pytest.approx(CALM_SECONDS))


@pytest.mark.parametrize("interval", [CALM_SECONDS, CROWDED_SECONDS])
def test_so_many_threads_are_a_crowd_whatever_the_interval_is(interval: float) -> None:
    assert choose_interval((CROWD - 1) * interval, interval) == CALM_SECONDS
    assert choose_interval((CROWD + 1) * interval, interval) == CROWDED_SECONDS
