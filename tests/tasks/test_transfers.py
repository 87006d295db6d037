"""The transfer of an execution from one pool to another of the same process: in memory, under the same lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models import suppression
from models.audit import SYSTEM
from models.database import acting_as
from models.queries import execute
from rules.stages import Queue
from sandbox.server import RunningSandbox
from tasks.operators import actions as operator_actions
from tasks.runtime import executor as executor_module
from tasks.runtime.broker import NotifyingBroker, read_queue_depths
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tasks.runtime.executor import Executor
from tasks.shutdown import release_unstarted
from tasks.steps import current_facts
from tests.support.concurrency import assert_consistent, count_provider_calls
from tests.support.factories import (
    HELLO,
    WRITTEN,
    Alice,
    bob,
    execution,
    messages,
    stages,
    steps,
    wait_for_status,
    wait_until_finished,
)
from tests.support.waiting import eventually
from workers.worker_process import MAX_CONSUMER_THREADS, RunningWorker


class Counts:
    """The claims, records and notifications of this process, as they happen."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.claims: list[str] = []
        self.records: list[str] = []
        self.notified: list[tuple[str, int]] = []
        write_records, enqueue_all = engine.group_commit._write_records, NotifyingBroker.enqueue_all

        def count_claims(write: Callable[[list[Any], bool], list[list[dict[str, Any]]]]) -> Any:
            def write_and_count(requests: list[Any], is_retry: bool) -> list[list[dict[str, Any]]]:
                results = write(requests, is_retry)
                self.claims += [str(row["id"]) for rows in results for row in rows]
                return results

            return write_and_count

        def count_records(records: list[Any], is_retry: bool) -> Any:
            self.records += [record.execution_id for record in records]
            return write_records(records, is_retry)

        def count_notified(broker: NotifyingBroker, queue: str, sent: Any) -> None:
            self.notified.append((queue, len(sent)))
            enqueue_all(broker, queue, sent)

        for name in ("_write_claims", "_write_turns"):
            monkeypatch.setattr(engine.group_commit, name, count_claims(getattr(engine.group_commit, name)))
        monkeypatch.setattr(engine.group_commit, "_write_records", count_records)
        monkeypatch.setattr(NotifyingBroker, "enqueue_all", count_notified)


@contextmanager
def occupy(engine: Engine, queue: Queue) -> Iterator[None]:
    """Keep every slot of a pool reserved."""
    pool = engine.pools[queue]
    reserved = pool.reserve_slots(pool.size)
    assert reserved == pool.size
    try:
        yield
    finally:
        pool.release_slots(reserved)


@contextmanager
def stall(engine: Engine, queue: Queue) -> Iterator[Executor]:
    """Put a pool in the place of a queue's whose thread starts nothing: what it takes over waits in memory."""
    own, begun, resumed = engine.pools[queue], threading.Event(), threading.Event()

    def block(claimed: ClaimedExecution) -> bool:
        begun.set()
        return resumed.wait(30)

    stalled = Executor(1, block, engine.group_commit.flush, "stalled")
    stalled.reserve_slots(1)
    stalled.submit(None)  # type: ignore[arg-type]
    assert begun.wait(10)
    engine.pools[queue] = stalled
    try:
        yield stalled
    finally:
        engine.pools[queue] = own
        stalled.close()
        resumed.set()


@pytest.fixture
def alice(engine: Engine) -> Alice:
    return Alice()


@pytest.fixture
def long_prefetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start counts as recent, however slow this test is: what is taken over may wait for a thread."""
    monkeypatch.setattr(executor_module, "PREFETCH_WINDOW_SECONDS", 60.0)


@pytest.fixture
def no_prefetch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No start counts as recent, however fast this test is: a pool has as many slots as threads."""
    monkeypatch.setattr(executor_module, "PREFETCH_WINDOW_SECONDS", 0.0)


def test_a_written_message_takes_one_claim_three_records_and_no_second_notification(
    engine: Engine, alice: Alice, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = Counts(engine, monkeypatch)
    alice.automation(WRITTEN)

    result = wait_until_finished(alice.trigger())

    assert (result["status"], result["queue"]) == ("succeeded", "sending")
    assert counts.claims == [result["id"]]
    assert counts.records == [result["id"]] * 3
    assert counts.notified == [("generation", 1)]
    assert stages(result["id"]) == [
        "queued", "checking", "eligible", "generating", "ready_to_send", "sending", "sent", "completed",
    ]  # fmt: skip
    assert_consistent()


def test_local_steps_lead_to_the_model_and_the_send_in_memory(
    engine: Engine, alice: Alice, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}
    again = {**HELLO[0], "id": "again", "with": {"subject": "{{ contact.tags | join: ' ' }}", "body": "Hi!"}}
    alice.automation([tag, *WRITTEN, {**WRITTEN[0], "id": "more"}, again])
    counts = Counts(engine, monkeypatch)

    result = wait_until_finished(alice.trigger())

    assert result["status"] == "succeeded"
    assert (len(counts.claims), [queue for queue, _ in counts.notified]) == (1, ["generation"])
    assert messages(result["id"])[-1]["subject"] == "lead seen"


def test_an_execution_that_finds_the_other_pool_full_goes_on_through_redis(
    engine: Engine, alice: Alice, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, no_prefetch: None
) -> None:
    counts = Counts(engine, monkeypatch)
    alice.automation(WRITTEN)
    with occupy(engine, "sending"):
        execution_id = execution(alice.trigger())["id"]
        eventually(lambda: ("sending", 1) in counts.notified)
        waiting = execution(execution_id)
        assert waiting["status"] == "waiting"
        assert (waiting["stage"], waiting["queue"], waiting["deliveries"]) == ("ready_to_send", "sending", 0)
        assert count_provider_calls(sandbox, "mailgun") == 0

    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert counts.claims == [execution_id] * 2
    assert (count_provider_calls(sandbox, "gemini"), count_provider_calls(sandbox, "mailgun")) == (1, 1)


def test_a_transfer_does_not_overtake_what_waits_for_the_pool(no_prefetch: None) -> None:
    executor = Executor(2, lambda _: True, lambda: None)
    # A consumer that waits for a slot has older executions, and wakes only after a thread has become free.
    executor._requested.append(1)
    assert not executor.try_submit(None)  # type: ignore[arg-type]

    executor._requested.remove(1)
    assert executor.try_submit(None)  # type: ignore[arg-type]
    executor.close()


def test_a_full_pool_for_models_holds_up_no_send(
    engine: Engine, alice: Alice, sandbox: RunningSandbox, no_prefetch: None
) -> None:
    alice.automation(WRITTEN, trigger="written")
    alice.automation(HELLO)
    with occupy(engine, "generation"):
        people = [bob(external_id=f"w{n}", email=f"w{n}@example.com", phone=None) for n in range(140)]
        written = alice.triggers([{"type": "written", "contact": person} for person in people])
        # Every consumer of that queue waits for a slot.
        eventually(lambda: len(engine.pools["generation"]._requested) == MAX_CONSUMER_THREADS)

        assert wait_until_finished(alice.trigger())["status"] == "succeeded"

        assert count_provider_calls(sandbox, "gemini") == 0
    for accepted in written:
        assert wait_until_finished(accepted)["status"] == "succeeded"


def start_thinking(alice: Alice, sandbox: RunningSandbox) -> str:
    """Start an execution whose text takes longer than the facts of its claim hold; return its id during the call."""
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=current_facts.MAX_AGE_SECONDS + 0.3)
    alice.automation(WRITTEN)
    execution_id: str = execution(alice.trigger())["id"]
    eventually(lambda: execution(execution_id)["stage"] == "generating")
    return execution_id


@pytest.mark.parametrize("drain", [False, True], ids=["paused", "draining"])
def test_a_pause_of_sending_holds_an_execution_that_comes_from_the_model(
    alice: Alice, sandbox: RunningSandbox, drain: bool
) -> None:
    execution_id = start_thinking(alice, sandbox)
    operator_actions.set_pause("queue", "sending", alice.workspace_id, SYSTEM, draining=drain)

    waiting = wait_for_status(execution_id, "waiting")
    assert (waiting["waiting_for"], waiting["stage"], waiting["queue"]) == ("pause", "ready_to_send", "sending")
    assert steps(execution_id)["write"]["status"] == "succeeded"
    assert count_provider_calls(sandbox, "mailgun") == 0

    operator_actions.resume("queue", "sending", alice.workspace_id, SYSTEM)
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert (count_provider_calls(sandbox, "gemini"), count_provider_calls(sandbox, "mailgun")) == (1, 1)


def unsubscribe(alice: Alice, contact_id: str) -> None:
    with acting_as(alice.workspace_id):
        suppression.add(alice.workspace_id, contact_id, "email", SYSTEM)


def remove(_: Alice, contact_id: str) -> None:
    execute("update contacts set deleted_at = beckon_now() where id = %s", (contact_id,))


@pytest.mark.parametrize(("change", "rule"), [(unsubscribe, "suppressed"), (remove, "no_contact")])
def test_what_the_contact_does_while_the_model_thinks_stops_the_send(
    alice: Alice, sandbox: RunningSandbox, change: Callable[[Alice, str], None], rule: str
) -> None:
    execution_id = start_thinking(alice, sandbox)
    change(alice, execution(execution_id)["contact_id"])

    result = wait_until_finished(execution_id)

    assert (result["status"], result["skipped_rule"]) == ("skipped", rule)
    assert count_provider_calls(sandbox, "mailgun") == 0


def test_a_send_after_a_slow_model_sees_what_its_own_steps_changed(alice: Alice, sandbox: RunningSandbox) -> None:
    sandbox.add_fault(provider="gemini", fault="slow", times=1, seconds=current_facts.MAX_AGE_SECONDS + 0.3)
    tag = {"id": "tag", "action": "update_contact", "with": {"add_tags": ["written"], "set": {"plan": "pro"}}}
    body = "{{ contact.tags | join: ' ' }} {{ contact.attributes.plan }} {{ contact.first_name }}"
    greet = {**HELLO[0], "id": "greet", "with": {"subject": "Hello", "body": body}}
    # The tag is added before the transfer, so it is not recorded yet when the contact is read anew.
    alice.automation([WRITTEN[0], tag, HELLO[0], greet])
    execution_id = execution(alice.trigger())["id"]
    eventually(lambda: execution(execution_id)["stage"] == "generating")
    execute("update contacts set first_name = 'Robert' where id = %s", (execution(execution_id)["contact_id"],))

    wait_until_finished(execution_id)

    assert messages(execution_id)[1]["body"] == "lead written pro Robert"


def test_a_stopping_process_requeues_what_waits_in_the_other_pool_with_its_text(
    engine: Engine, idle: RunningWorker, alice: Alice, sandbox: RunningSandbox, long_prefetch: None
) -> None:
    alice.automation(WRITTEN)
    with stall(engine, "sending") as stalled:
        idle.workers["generation"].resume()
        execution_id = execution(alice.trigger())["id"]
        eventually(lambda: len(stalled._submitted) == 1)
        running = execution(execution_id)
        assert (running["status"], running["stage"]) == ("running", "generating")

        release_unstarted(engine, stalled.close())

    released = execution(execution_id)
    assert (released["status"], released["stage"], released["queue"]) == ("waiting", "ready_to_send", "sending")
    # No delivery failed: it was requeued in order.
    assert (released["deliveries"], steps(execution_id)["write"]["status"]) == (0, "succeeded")
    assert read_queue_depths()["sending"]["ready"] == 1
    assert engine.leases.list_held() == []
    idle.resume()
    assert wait_until_finished(execution_id)["status"] == "succeeded"
    assert (count_provider_calls(sandbox, "gemini"), count_provider_calls(sandbox, "mailgun")) == (1, 1)
    assert_consistent()


def test_the_lease_of_an_execution_that_waits_in_the_other_pool_is_extended(
    engine: Engine, idle: RunningWorker, alice: Alice, sandbox: RunningSandbox, long_prefetch: None
) -> None:
    alice.automation(WRITTEN)
    with stall(engine, "sending") as stalled:
        idle.workers["generation"].resume()
        execution_id = execution(alice.trigger())["id"]
        eventually(lambda: len(stalled._submitted) == 1)
        before = execution(execution_id)["lease_until"]

        engine.leases.extend()

        assert execution(execution_id)["lease_until"] > before
        release_unstarted(engine, stalled.close())
    idle.resume()
    assert wait_until_finished(execution_id)["status"] == "succeeded"
