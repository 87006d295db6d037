"""The executor: which work its threads start and in which order, how many executions are claimed before a thread is
free for them, and what happens to unstarted ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from dramatiq import Worker

from sandbox.server import RunningSandbox
from tasks.executions import PLACEHOLDER_WORKFLOW, run_claimed
from tasks.runtime import executor as executor_module
from tasks.runtime import moves
from tasks.runtime.broker import read_queue_depths
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.runtime.executor import MAX_PREFETCH_PER_THREAD, Executor
from tasks.shutdown import release_in_flight, release_unstarted, undo_intent
from tasks.steps import current_facts
from tasks.steps.sending import send
from tests.support.concurrency import assert_consistent, claim, claim_and_abandon
from tests.support.factories import HELLO, Alice, execution, messages, stages, steps, wait_until_finished
from tests.support.waiting import eventually


class Work:
    """The threads' work: each item blocks until a permit. Items in `recording_intent` finish only when resumed."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.recording_intent: set[str] = set()
        self.permits = threading.Semaphore(0)

    def __call__(self, item: Any) -> bool:
        self.begun.append(item)
        assert self.permits.acquire(timeout=10)
        return item not in self.recording_intent

    def build_continuation(self, item: str) -> Callable[[], bool]:
        """Build the continuation of an item that recorded an intent."""
        return lambda: self(f"rest of {item}")


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def executor(work: Work) -> Iterator[Executor]:
    instance = Executor(2, work, ignore_idle)
    yield instance
    instance.close()
    work.permits.release(100)


def start_executions(alice: Alice, count: int = 1) -> list[str]:
    triggers = [{"contact": {"email": f"c{number}@example.com"}} for number in range(count)]
    return [accepted.executions[0]["executionId"] for accepted in alice.triggers(triggers)]


def ignore_idle() -> None:
    """An idle callback that does nothing."""


def build_claimed(name: str) -> ClaimedExecution:
    return cast(ClaimedExecution, name)


def test_slow_threads_reserve_only_their_free_slots(
    executor: Executor, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No start counts as recent, however fast this test is.
    monkeypatch.setattr(executor_module, "PREFETCH_WINDOW_SECONDS", 0.0)
    assert executor.reserve_slots(16) == 2
    for name in ("a", "b"):
        executor.submit(build_claimed(name))
    eventually(lambda: len(work.begun) == 2)
    reserved: list[int] = []
    thread = threading.Thread(target=lambda: reserved.append(executor.reserve_slots(16)))
    thread.start()

    eventually(lambda: executor._requested)
    assert reserved == []
    work.permits.release()

    thread.join(10)
    assert reserved == [1]


def test_fast_threads_reserve_a_batch_ahead(executor: Executor, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every start counts as recent, however slow this test is.
    monkeypatch.setattr(executor_module, "PREFETCH_WINDOW_SECONDS", 60.0)
    work.permits.release(1000)
    for _ in range(2 * MAX_PREFETCH_PER_THREAD):
        for number in range(executor.reserve_slots(2)):
            executor.submit(build_claimed(str(number)))
    eventually(lambda: len(work.begun) >= 2 * MAX_PREFETCH_PER_THREAD)

    limit = 2 + 2 * MAX_PREFETCH_PER_THREAD
    eventually(lambda: (executor._in_progress, executor._reserved) == (0, 0))
    assert executor.reserve_slots(100) == limit


def test_only_fast_threads_make_the_group_commit_wait(
    executor: Executor, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "PREFETCH_WINDOW_SECONDS", 60.0)
    executor.reserve_slots(2)
    for name in ("a", "b"):
        executor.submit(build_claimed(name))
    eventually(lambda: len(work.begun) == 2)
    assert not executor.is_fast

    executor.reserve_slots(1)
    executor.submit(build_claimed("c"))
    work.permits.release()

    eventually(lambda: len(work.begun) == 3)
    assert executor.is_fast
    work.permits.release(2)
    eventually(lambda: not executor.is_fast)


def test_the_idle_callback_runs_when_no_thread_is_busy(work: Work) -> None:
    idle_events: list[int] = []
    executor = Executor(2, work, on_idle=lambda: idle_events.append(len(work.begun)))
    executor.reserve_slots(2)
    for name in ("a", "b"):
        executor.submit(build_claimed(name))
    eventually(lambda: len(work.begun) == 2)
    work.permits.release()
    eventually(lambda: executor._busy == 1)
    assert idle_events == []

    work.permits.release()

    eventually(lambda: idle_events == [2])
    executor.close()


def test_a_thread_that_records_an_intent_starts_another_execution(executor: Executor, work: Work) -> None:
    work.recording_intent = {"a", "b"}
    executor.reserve_slots(2)
    for name in ("a", "b", "c", "d"):
        executor.submit(build_claimed(name))
    eventually(lambda: len(work.begun) == 2)
    work.permits.release(2)

    eventually(lambda: work.begun[2:] == ["c", "d"] or work.begun[2:] == ["d", "c"])


def test_resumable_work_precedes_new_work_except_for_one_in_reserve(work: Work) -> None:
    executor, work.recording_intent = Executor(1, work, ignore_idle), {"a", "b"}
    for name in ("a", "b", "c", "d"):
        executor.submit(build_claimed(name))
    work.permits.release(2)
    eventually(lambda: work.begun == ["a", "b", "c"])

    executor.resume(work.build_continuation("a"))
    executor.resume(work.build_continuation("b"))
    work.permits.release(4)

    eventually(lambda: len(work.begun) == 6)
    assert work.begun == ["a", "b", "c", "rest of a", "d", "rest of b"]
    executor.close()


def test_an_execution_keeps_its_slot_until_it_is_finished(
    executor: Executor, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "PREFETCH_WINDOW_SECONDS", 0.0)
    work.recording_intent = {"a", "b"}
    assert executor.reserve_slots(2) == 2
    for name in ("a", "b"):
        executor.submit(build_claimed(name))
    work.permits.release(2)
    eventually(lambda: executor._busy == 0 and len(work.begun) == 2)
    reserved: list[int] = []
    thread = threading.Thread(target=lambda: reserved.append(executor.reserve_slots(16)))
    thread.start()
    eventually(lambda: executor._requested)
    assert reserved == []

    executor.resume(work.build_continuation("a"))
    work.permits.release()

    thread.join(10)
    assert reserved == [1]


def test_a_closed_executor_finishes_started_work_and_then_ends(work: Work) -> None:
    executor, work.recording_intent = Executor(2, work, ignore_idle), {"a"}
    executor.reserve_slots(1)
    executor.submit(build_claimed("a"))
    work.permits.release()
    eventually(lambda: executor._busy == 0 and work.begun == ["a"])

    assert executor.close() == []
    eventually(executor._tokens.empty)
    executor.resume(work.build_continuation("a"))
    work.permits.release()

    for thread in executor._threads:
        thread.join(10)
        assert not thread.is_alive()
    assert work.begun == ["a", "rest of a"]


def test_a_rescued_execution_reserves_only_a_free_thread(
    executor: Executor, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "PREFETCH_WINDOW_SECONDS", 60.0)
    for _ in range(2):
        assert executor.reserve_slots(1, prefetch=False) == 1
        executor.submit(build_claimed("rescued"))
    eventually(lambda: len(work.begun) == 2)
    reserved: list[int] = []
    thread = threading.Thread(target=lambda: reserved.append(executor.reserve_slots(1, prefetch=False)))
    thread.start()

    eventually(lambda: executor._requested)
    assert reserved == []
    work.permits.release()

    thread.join(10)
    assert reserved == [1]


def test_released_slots_are_free_for_others(executor: Executor) -> None:
    assert executor.reserve_slots(2) == 2
    executor.release_slots(2)

    assert executor.reserve_slots(2) == 2


def test_a_closed_executor_accepts_nothing_and_wakes_waiting_callers(executor: Executor, work: Work) -> None:
    for name in ("a", "b"):
        executor.reserve_slots(1)
        executor.submit(build_claimed(name))
    eventually(lambda: len(work.begun) == 2)
    executor.submit(build_claimed("not begun"))

    assert executor.close() == ["not begun"]
    assert executor.reserve_slots(5) == 0
    assert not executor.submit(build_claimed("late"))


def test_an_unstarted_execution_is_requeued_at_once(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    idle.broker.flush_all()
    row = claim(engine.group_commit, execution_id)
    assert row is not None
    claimed = ClaimedExecution(row, PLACEHOLDER_WORKFLOW, "sending")
    engine.leases.hold(claimed, time.monotonic())

    release_unstarted(engine, [claimed])

    released = execution(execution_id)
    assert (released["status"], released["stage"], released["queue"], released["deliveries"]) == (
        "waiting",
        "checking",
        "sending",
        0,
    )
    assert engine.leases.list_held() == []
    assert read_queue_depths()["sending"]["ready"] == 1
    idle.resume()
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert_consistent()


def test_a_recorded_send_that_was_not_made_leaves_no_send_time_and_no_attempt(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    row = claim(engine.group_commit, execution_id)
    assert row is not None
    claimed = ClaimedExecution(row, engine.load_workflow(row["version_id"]), "sending")
    claimed.step = claimed.workflow.steps[0]
    moves.enter(claimed, "eligible")
    next(send(engine, claimed, claimed.step))
    assert engine.group_commit.record(claimed.take_record())
    claimed.mark_recorded()
    assert messages(execution_id)[0]["sending_at"] is not None

    assert undo_intent(claimed)

    assert engine.group_commit.record(claimed.take_record())
    message = messages(execution_id)[0]
    assert (message["status"], message["sending_at"]) == ("pending", None)
    assert (execution(execution_id)["stage"], steps(execution_id)["hello"]["attempts"]) == ("ready_to_send", 0)


def test_a_call_whose_thread_has_moved_on_is_not_released(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation([{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}, *HELLO])
    (execution_id,) = start_executions(alice)
    row = claim(engine.group_commit, execution_id)
    assert row is not None
    claimed = ClaimedExecution(row, engine.load_workflow(row["version_id"]), "generation")
    # The text is generated, and the thread is at a local step.
    claimed.call, claimed.step = "generation", claimed.workflow.steps[0]
    before = execution(execution_id)

    release_in_flight(engine, claimed)

    assert execution(execution_id) == before
    assert claimed.call == "generation"


def test_a_claim_that_waited_too_long_for_a_thread_is_requeued(
    engine: Engine, idle: Worker, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = start_executions(alice)
    idle.broker.flush_all()
    row = claim(engine.group_commit, execution_id)
    assert row is not None

    with monkeypatch.context() as patch:
        patch.setattr(current_facts, "MAX_AGE_SECONDS", 0.0)
        run_claimed(ClaimedExecution(row, PLACEHOLDER_WORKFLOW, "sending"))

    eventually(lambda: execution(execution_id)["status"] == "waiting")
    eventually(lambda: read_queue_depths()["sending"]["ready"] == 1)
    assert sandbox.list_messages(provider="mailgun") == []
    idle.resume()
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert stages(execution_id).count("checking") == 1


def test_a_dead_workers_execution_is_not_claimed_in_a_batch(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    poisoned, innocent = start_executions(alice, 2)
    claim_and_abandon(poisoned)

    together = engine.group_commit.claim_many([poisoned, innocent])

    assert [row["id"] for row in together] == [innocent]
    alone = engine.group_commit.claim_many([poisoned])
    assert [row["deliveries"] for row in alone] == [2]
