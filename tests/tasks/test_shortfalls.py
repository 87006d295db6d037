"""An execution whose notification claimed nothing is claimed soon, without the sweep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from dramatiq import Worker

from sandbox.server import RunningSandbox
from settings import Settings
from tasks.runtime import shortfalls
from tasks.runtime.engine import Engine
from tasks.runtime.shortfalls import MAX_EMPTY_LOOKS, Shortfalls
from tests.support.factories import HELLO, Alice, execution, wait_until_finished
from tests.support.waiting import eventually


@contextmanager
def lock_row(settings: Settings, execution_id: str) -> Iterator[None]:
    """Lock an execution as the claim of another process does for a moment."""
    connection = psycopg2.connect(settings.database_service_url)
    try:
        connection.cursor().execute("select id from executions where id = %s for update", (execution_id,))
        yield
    finally:
        connection.close()


def test_an_execution_that_a_claim_skipped_is_claimed_without_a_sweep(
    engine: Engine, idle: Worker, settings: Settings, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortfalls, "MAX_EMPTY_LOOKS", 1000)
    alice = Alice()
    alice.automation(HELLO)
    execution_id = alice.trigger().executions[0]["executionId"]
    with lock_row(settings, execution_id):
        idle.resume()
        eventually(lambda: engine.shortfalls["sending"]._missing == 1)
        assert execution(execution_id)["status"] == "pending"
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert len(sandbox.list_messages("mailgun")) == 1


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The counts that were asked for."""
    monkeypatch.setattr(shortfalls, "RETRY_SECONDS", 0.001)
    return []


def test_looks_go_on_until_what_is_missing_is_claimed(looks: list[int]) -> None:
    answers = iter([0, 2, 0, 1])

    def claim(count: int) -> int:
        looks.append(count)
        return next(answers)

    queue_shortfalls = Shortfalls("sending", claim)
    queue_shortfalls.add(3)
    eventually(lambda: not queue_shortfalls._missing)
    queue_shortfalls.close()
    assert looks == [3, 3, 1, 1]


def test_duplicates_of_notifications_end_the_looks(looks: list[int]) -> None:
    def claim(count: int) -> int:
        looks.append(count)
        return 0

    queue_shortfalls = Shortfalls("sending", claim)
    queue_shortfalls.add(1)
    eventually(lambda: not queue_shortfalls._missing)
    queue_shortfalls.close()
    assert looks == [1] * MAX_EMPTY_LOOKS
