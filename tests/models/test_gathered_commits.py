"""Commits of several executions wait for each other for a moment; an execution that is alone waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from models.engine import group_commit as module
from models.engine.group_commit import BUSY_ENTRIES, GATHER_DELAY_SECONDS, CommitFuture, GroupCommit, _ClaimRequest
from tests.support.waiting import eventually


class Gathering:
    """In the place of the event that ends a wait early: notes each wait, and lets another entry come meanwhile."""

    def __init__(self, group_commit: GroupCommit) -> None:
        self.waits: list[float] = []
        self._group_commit = group_commit

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self._group_commit._queue.put((_ClaimRequest(["another"]), CommitFuture()))
        return False

    def set(self) -> None:
        """The group commit closes."""


class Written:
    """A group commit that writes nothing but the sizes of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.group_commit = GroupCommit("a worker", 30.0)
        self.group_commit._write_claims = self._write  # type: ignore[method-assign]
        self.gathering = self.group_commit._closing = Gathering(self.group_commit)  # type: ignore[assignment]

    def _write(self, claims: list[Any], _is_retry: bool) -> list[list[Any]]:
        self.batches.append(len(claims))
        return [[] for _ in claims]

    def claim(self, times: int) -> None:
        for _ in range(times):
            self.group_commit.claim_many(["one"])


@pytest.fixture
def written() -> Iterator[Written]:
    instance = Written()
    yield instance
    instance.group_commit.close()


def test_after_many_entries_the_next_waits_for_others(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_WINDOW_SECONDS", 60.0)
    written.claim(BUSY_ENTRIES)
    assert (written.batches, written.gathering.waits) == ([1] * BUSY_ENTRIES, [])

    written.claim(1)

    eventually(lambda: written.batches[BUSY_ENTRIES:])
    assert (written.batches[BUSY_ENTRIES:], written.gathering.waits) == ([2], [GATHER_DELAY_SECONDS])


def test_entries_that_come_seldom_wait_for_nobody(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_WINDOW_SECONDS", 0.0)
    written.claim(2 * BUSY_ENTRIES)

    assert (written.batches, written.gathering.waits) == ([1] * 2 * BUSY_ENTRIES, [])
