"""The short cache of per-workspace reads."""

from __future__ import annotations

import itertools

import pytest

from models import recent_reads
from models.recent_reads import RecentReads, SlowReads


def count_reads() -> RecentReads[int]:
    """Reads whose results are 1, 2, 3 …"""
    counter = itertools.count(1)
    return RecentReads(lambda _: next(counter))


def test_a_value_is_read_once_for_each_workspace() -> None:
    numbers = count_reads()
    assert (numbers("a"), numbers("a"), numbers("b"), numbers("a")) == (1, 1, 2, 1)


def test_a_forgotten_value_is_read_again() -> None:
    numbers = count_reads()
    numbers("a")
    numbers.forget("a")
    numbers.forget("never read")
    assert numbers("a") == 2


def test_a_value_is_read_again_after_its_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_reads, "MAX_AGE_SECONDS", 0.0)
    numbers = count_reads()
    assert (numbers("a"), numbers("a")) == (1, 2)


def test_a_fast_read_is_never_reused() -> None:
    numbers, counter = SlowReads[int](), itertools.count(1)
    assert [numbers.get("a", lambda: next(counter)) for _ in range(2)] == [1, 2]


def test_a_slow_read_is_reused_for_its_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_reads, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(recent_reads, "REUSE_FACTOR", 1e9)
    numbers, counter = SlowReads[int](), itertools.count(1)
    assert [numbers.get(key, lambda: next(counter)) for key in ("a", "a", "b")] == [1, 1, 2]


def test_a_slow_read_is_reused_in_proportion_to_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_reads, "SLOW_SECONDS", -1.0)
    monkeypatch.setattr(recent_reads, "REUSE_FACTOR", 0)
    numbers, counter = SlowReads[int](), itertools.count(1)
    assert [numbers.get("a", lambda: next(counter)) for _ in range(2)] == [1, 2]
