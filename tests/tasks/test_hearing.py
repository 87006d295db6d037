"""Many bells answered by one call: each is still a message of its own in Redis."""

from __future__ import annotations

from typing import Any

import pytest
from dramatiq import Worker

from models.ids import new_id
from tasks.broker import Doorbell, queue_depths, ring
from tasks.engine import Engine
from tasks.hearing import MOST_AT_ONCE, Bells, Hearing


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
    return [message for message in (next(hearing) for _ in range(60)) if message is not None]


def test_bells_that_lie_together_are_answered_together(hearing: Hearing) -> None:
    ids = [new_id() for _ in range(MOST_AT_ONCE + 3)]
    assert ring("sending", ids) == len(ids)
    assert queue_depths()["sending"]["ready"] == len(ids)

    first, second = heard(hearing)

    assert (first.args, second.args) == ((ids[:MOST_AT_ONCE], "sending"), (ids[MOST_AT_ONCE:], "sending"))


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
