"""Many bells answered by one call: each is still a message of its own in Redis."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dramatiq import Worker

from models.ids import new_id
from tasks import hearing as hearing_module
from tasks.broker import Doorbell, queue_depths, ring
from tasks.engine import Engine
from tasks.hearing import MOST_AT_ONCE, Bells, Hearing
from waiting import eventually


@pytest.fixture
def doorbell(engine: Engine, idle: Worker) -> Doorbell:
    """The broker, with nobody listening."""
    broker = idle.broker
    assert isinstance(broker, Doorbell)
    broker.flush_all()
    return broker


@pytest.fixture
def hearing(doorbell: Doorbell) -> Hearing:
    consumer = doorbell.consume("sending", prefetch=200, timeout=10)
    assert isinstance(consumer, Hearing)
    return consumer


def heard(hearing: Hearing) -> list[Any]:
    """Everything in the queue, as a worker would be given it."""
    return list(iter(lambda: next(hearing), None))


def listeners(doorbell: Doorbell) -> int:
    """How many connections wait in Redis for a bell of this test's database."""
    ours = str(doorbell.client.connection_pool.connection_kwargs["db"])
    return sum("b" in one["flags"] and one["db"] == ours for one in doorbell.client.client_list())


def test_bells_that_lie_together_are_answered_together(hearing: Hearing) -> None:
    ids = [new_id() for _ in range(MOST_AT_ONCE + 3)]
    assert ring("sending", ids) == len(ids)
    assert queue_depths()["sending"]["ready"] == len(ids)

    first, second = heard(hearing)

    assert (first.args, second.args) == ((ids[:MOST_AT_ONCE], "sending"), (ids[MOST_AT_ONCE:], "sending"))


def test_who_waits_hears_a_bell_at_once(hearing: Hearing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing_module, "LISTEN_SECONDS", 4.0)
    execution_id, began = new_id(), time.monotonic()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lambda: (next(hearing), next(hearing)))
        eventually(lambda: listeners(hearing.broker) == 1)
        ring("sending", [execution_id])
        nothing, bell = waiting.result(timeout=10)

    assert time.monotonic() - began < 4
    assert nothing is None
    assert bell is not None
    assert bell.args == (execution_id, "sending")
    assert (queue_depths()["sending"]["ready"], queue_depths()["sending"]["unacked"]) == (0, 1)


def test_of_two_who_wait_one_takes_the_bell(doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing_module, "LISTEN_SECONDS", 4.0)
    consumers = [doorbell.consume("sending", prefetch=200, timeout=10) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(lambda one=one: (next(one), next(one))) for one in consumers]
        eventually(lambda: listeners(doorbell) == 2)
        ring("sending", [new_id()])

        heard_by = [one.result(timeout=20)[1] for one in waiting]

    assert [one is None for one in heard_by].count(True) == 1
    assert queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 1, "dead": 0}


def test_who_has_taken_all_that_he_may_does_not_listen(doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch) -> None:
    ring("sending", [new_id() for _ in range(2)])
    consumer = doorbell.consume("sending", prefetch=1, timeout=10)
    assert next(consumer) is not None
    # There is a bell, so that Redis would answer at once, again and again.
    monkeypatch.setattr(doorbell.client, "blmove", None)

    assert next(consumer) is None


def test_one_acknowledgement_removes_them_all(hearing: Hearing) -> None:
    ring("sending", [new_id() for _ in range(5)])
    (together,) = heard(hearing)
    assert queue_depths()["sending"]["unacked"] == 5

    hearing.ack(together)

    assert queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 0}
    assert hearing.broker.client.hlen(f"{hearing.broker.namespace}:sending.msgs") == 0
    assert hearing.outstanding_message_count == 0


def test_an_acknowledgement_leaves_what_another_worker_was_given_meanwhile(hearing: Hearing) -> None:
    ring("sending", [new_id() for _ in range(2)])
    (together,) = heard(hearing)
    client, space = hearing.broker.client, hearing.broker.namespace
    taken = together.bells[0].options["redis_message_id"]
    client.srem(f"{space}:__acks__.{hearing.broker.broker_id}.sending", taken)
    client.rpush(f"{space}:sending", taken)

    hearing.ack(together)

    assert client.hkeys(f"{space}:sending.msgs") == [taken.encode()]


def test_what_was_not_begun_goes_back_one_by_one(hearing: Hearing) -> None:
    ring("sending", [new_id() for _ in range(5)])

    hearing.requeue(heard(hearing))

    assert queue_depths()["sending"] == {"ready": 5, "delayed": 0, "unacked": 0, "dead": 0}


def test_what_is_given_up_is_kept_one_by_one(hearing: Hearing) -> None:
    ring("sending", [new_id() for _ in range(5)])
    (together,) = heard(hearing)

    hearing.nack(together)

    assert queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 5}


def test_a_rescued_executions_bell_is_answered_alone(hearing: Hearing) -> None:
    rescued, *others = [new_id() for _ in range(4)]
    ring("sending", [rescued], rescued=True)
    ring("sending", others)

    alone, together = heard(hearing)

    assert not isinstance(alone, Bells)
    assert (alone.args, alone.kwargs) == ((rescued, "sending"), {"rescued": True})
    assert together.args == (others, "sending")
