"""The short cache of per-workspace reads."""

from __future__ import annotations

import itertools

import pytest

from models import recent_reads
from models.recent_reads import RecentReads


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
