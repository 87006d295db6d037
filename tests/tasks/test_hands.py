"""What a worker's threads take up and in which order, how many executions are claimed before a thread is free for them,
and what becomes of those that were not begun."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from crew import books_balance, dies_with
from dramatiq import Worker

from cast import HELLO, Alice, execution, finished, stages
from sandbox.server import Running
from tasks import executions
from tasks import hands as hands_module
from tasks.broker import queue_depths
from tasks.engine import Engine
from tasks.executions import UNREAD, carry_on
from tasks.hands import MOST_AHEAD_OF_A_HAND, Hands
from tasks.passage import Passage
from tasks.shutdown import hand_back, hand_on
from waiting import eventually


class Work:
    """What the hands do here: each piece until it is let go. `announcing` are over only when they are gone on with."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.announcing: set[str] = set()
        self.may_end = threading.Semaphore(0)

    def __call__(self, piece: Any) -> bool:
        self.begun.append(piece)
        assert self.may_end.acquire(timeout=10)
        return piece not in self.announcing

    def rest(self, piece: str) -> Callable[[], bool]:
        """What is left of an announcing piece."""
        return lambda: self(f"rest of {piece}")


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def hands(work: Work) -> Iterator[Hands]:
    made = Hands(2, work, nobody)
    yield made
    made.close()
    work.may_end.release(100)


def started(alice: Alice, count: int = 1) -> list[str]:
    people = [{"contact": {"email": f"c{number}@example.com"}} for number in range(count)]
    return [answer.executions[0]["executionId"] for answer in alice.triggers(people)]


def nobody() -> None:
    """Wants to know when the hands are idle."""


def piece(name: str) -> Passage:
    return cast(Passage, name)


def test_slow_hands_are_promised_only_what_they_can_take(
    hands: Hands, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing was taken up just now, however fast this test is.
    monkeypatch.setattr(hands_module, "AHEAD_SECONDS", 0.0)
    assert hands.promise(16) == 2
    for name in ("a", "b"):
        hands.give(piece(name))
    eventually(lambda: len(work.begun) == 2)
    promised: list[int] = []
    thread = threading.Thread(target=lambda: promised.append(hands.promise(16)))
    thread.start()

    eventually(lambda: hands._wanted)
    assert promised == []
    work.may_end.release()

    thread.join(10)
    assert promised == [1]


def test_quick_hands_are_promised_a_batch_ahead(hands: Hands, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow this test is, all of it was just now.
    monkeypatch.setattr(hands_module, "AHEAD_SECONDS", 60.0)
    work.may_end.release(1000)
    for _ in range(2 * MOST_AHEAD_OF_A_HAND):
        for number in range(hands.promise(2)):
            hands.give(piece(str(number)))
    eventually(lambda: len(work.begun) >= 2 * MOST_AHEAD_OF_A_HAND)

    most = 2 + 2 * MOST_AHEAD_OF_A_HAND
    eventually(lambda: (hands._open, hands._promised) == (0, 0))
    assert hands.promise(100) == most


def test_only_quick_hands_are_worth_a_wait(hands: Hands, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands_module, "AHEAD_SECONDS", 60.0)
    hands.promise(2)
    for name in ("a", "b"):
        hands.give(piece(name))
    eventually(lambda: len(work.begun) == 2)
    assert not hands.are_quick

    hands.promise(1)
    hands.give(piece("c"))
    work.may_end.release()

    eventually(lambda: len(work.begun) == 3)
    assert hands.are_quick
    work.may_end.release(2)
    eventually(lambda: not hands.are_quick)


def test_who_expects_something_of_the_hands_is_told_when_none_is_at_work(work: Work) -> None:
    told: list[int] = []
    hands = Hands(2, work, idle=lambda: told.append(len(work.begun)))
    hands.promise(2)
    for name in ("a", "b"):
        hands.give(piece(name))
    eventually(lambda: len(work.begun) == 2)
    work.may_end.release()
    eventually(lambda: hands._busy == 1)
    assert told == []

    work.may_end.release()

    eventually(lambda: told == [2])
    hands.close()


def test_a_hand_whose_passage_announces_something_takes_up_another(hands: Hands, work: Work) -> None:
    work.announcing = {"a", "b"}
    hands.promise(2)
    for name in ("a", "b", "c", "d"):
        hands.give(piece(name))
    eventually(lambda: len(work.begun) == 2)
    work.may_end.release(2)

    eventually(lambda: work.begun[2:] == ["c", "d"] or work.begun[2:] == ["d", "c"])


def test_what_was_announced_is_gone_on_with_before_anything_new_but_for_one_that_is_kept_in_store(work: Work) -> None:
    hands, work.announcing = Hands(1, work, nobody), {"a", "b"}
    for name in ("a", "b", "c", "d"):
        hands.give(piece(name))
    work.may_end.release(2)
    eventually(lambda: work.begun == ["a", "b", "c"])

    hands.go_on(work.rest("a"))
    hands.go_on(work.rest("b"))
    work.may_end.release(4)

    eventually(lambda: len(work.begun) == 6)
    assert work.begun == ["a", "b", "c", "rest of a", "d", "rest of b"]
    hands.close()


def test_a_passage_keeps_its_place_until_it_is_over(hands: Hands, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands_module, "AHEAD_SECONDS", 0.0)
    work.announcing = {"a", "b"}
    assert hands.promise(2) == 2
    for name in ("a", "b"):
        hands.give(piece(name))
    work.may_end.release(2)
    eventually(lambda: hands._busy == 0 and len(work.begun) == 2)
    promised: list[int] = []
    thread = threading.Thread(target=lambda: promised.append(hands.promise(16)))
    thread.start()
    eventually(lambda: hands._wanted)
    assert promised == []

    hands.go_on(work.rest("a"))
    work.may_end.release()

    thread.join(10)
    assert promised == [1]


def test_closed_hands_go_on_with_what_was_begun_and_then_end(work: Work) -> None:
    hands, work.announcing = Hands(2, work, nobody), {"a"}
    hands.promise(1)
    hands.give(piece("a"))
    work.may_end.release()
    eventually(lambda: hands._busy == 0 and work.begun == ["a"])

    assert hands.close() == []
    eventually(hands._tokens.empty)
    hands.go_on(work.rest("a"))
    work.may_end.release()

    for thread in hands._threads:
        thread.join(10)
        assert not thread.is_alive()
    assert work.begun == ["a", "rest of a"]


def test_a_rescued_execution_is_promised_a_free_hand_only(
    hands: Hands, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands_module, "AHEAD_SECONDS", 60.0)
    for _ in range(2):
        assert hands.promise(1, ahead=False) == 1
        hands.give(piece("rescued"))
    eventually(lambda: len(work.begun) == 2)
    promised: list[int] = []
    thread = threading.Thread(target=lambda: promised.append(hands.promise(1, ahead=False)))
    thread.start()

    eventually(lambda: hands._wanted)
    assert promised == []
    work.may_end.release()

    thread.join(10)
    assert promised == [1]


def test_places_that_are_given_back_are_there_for_others(hands: Hands) -> None:
    assert hands.promise(2) == 2
    hands.give_back(2)

    assert hands.promise(2) == 2


def test_closed_hands_take_nothing_and_answer_those_who_wait(hands: Hands, work: Work) -> None:
    for name in ("a", "b"):
        hands.promise(1)
        hands.give(piece(name))
    eventually(lambda: len(work.begun) == 2)
    hands.give(piece("not begun"))

    assert hands.close() == ["not begun"]
    assert hands.promise(5) == 0
    assert not hands.give(piece("late"))


def test_what_was_claimed_and_not_begun_goes_on_elsewhere_at_once(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    idle.broker.flush_all()
    row = engine.ledger.claim(execution_id)
    assert row is not None
    passage = Passage(row, UNREAD, time.monotonic(), "sending")
    engine.leases.hold(passage, time.monotonic())

    hand_on(engine, [passage])

    left = execution(execution_id)
    assert (left["status"], left["stage"], left["queue"], left["deliveries"]) == ("waiting", "checking", "sending", 0)
    assert engine.leases.held() == []
    assert queue_depths()["sending"]["ready"] == 1
    idle.resume()
    assert finished(execution_id)["status"] == "succeeded"
    books_balance()


def test_a_call_whose_hand_has_gone_on_meanwhile_is_not_handed_back(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation([{"id": "tag", "action": "update_contact", "with": {"add_tags": ["seen"]}}, *HELLO])
    (execution_id,) = started(alice)
    row = engine.ledger.claim(execution_id)
    assert row is not None
    passage = Passage(row, engine.workflow(row["version_id"]), time.monotonic(), "generation")
    # The text has come, and its hand is at a step that makes no call.
    passage.call, passage.step = "generation", passage.workflow.steps[0]
    before = execution(execution_id)

    hand_back(engine, passage)

    assert execution(execution_id) == before
    assert passage.call == "generation"


def test_a_passage_that_waited_too_long_for_a_hand_is_begun_anew(
    engine: Engine, idle: Worker, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = Alice()
    alice.automation(HELLO)
    (execution_id,) = started(alice)
    idle.broker.flush_all()
    row = engine.ledger.claim(execution_id)
    assert row is not None

    with monkeypatch.context() as patient:
        patient.setattr(executions, "STALE_SECONDS", 0.0)
        carry_on(Passage(row, UNREAD, time.monotonic(), "sending"))

    eventually(lambda: execution(execution_id)["status"] == "waiting")
    eventually(lambda: queue_depths()["sending"]["ready"] == 1)
    assert sandbox.messages(provider="mailgun") == []
    idle.resume()
    assert finished(execution_id)["status"] == "succeeded"
    assert stages(execution_id).count("checking") == 1


def test_what_a_dead_worker_left_is_not_claimed_together_with_others(engine: Engine, idle: Worker) -> None:
    alice = Alice()
    alice.automation(HELLO)
    poisoned, innocent = started(alice, 2)
    dies_with(poisoned)

    together = engine.ledger.claim_many([poisoned, innocent])

    assert [row["id"] for row in together] == [innocent]
    alone = engine.ledger.claim_many([poisoned])
    assert [row["deliveries"] for row in alone] == [2]
