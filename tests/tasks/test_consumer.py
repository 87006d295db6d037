"""One call consumes many notifications; each remains a separate message in Redis."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from dramatiq import Worker
from dramatiq.errors import ConnectionClosed
from structlog.testing import capture_logs

import metrics
from models.ids import new_id
from tasks.runtime import consumer as consumer_module
from tasks.runtime.broker import NotifyingBroker, notify, read_queue_depths
from tasks.runtime.consumer import MAX_BATCH_SIZE, BatchingConsumer, MessageBatch
from tasks.runtime.engine import Engine
from tests.support.waiting import eventually


@pytest.fixture
def broker(engine: Engine, idle: Worker) -> NotifyingBroker:
    """The broker, without a running consumer."""
    broker = idle.broker
    assert isinstance(broker, NotifyingBroker)
    broker.flush_all()
    return broker


@pytest.fixture
def consumer(broker: NotifyingBroker) -> BatchingConsumer:
    consumer = broker.consume("sending", prefetch=200, timeout=10)
    assert isinstance(consumer, BatchingConsumer)
    return consumer


def consume_all(consumer: BatchingConsumer) -> list[Any]:
    """Everything in the queue, as a worker receives it."""
    return list(iter(lambda: next(consumer), None))


def count_listeners(broker: NotifyingBroker) -> int:
    """Count the connections that block in Redis for a notification of this test's database."""
    database = str(broker.client.connection_pool.connection_kwargs["db"])
    return sum("b" in client["flags"] and client["db"] == database for client in broker.client.client_list())


def test_adjacent_notifications_are_consumed_together(consumer: BatchingConsumer) -> None:
    ids = [new_id() for _ in range(MAX_BATCH_SIZE + 3)]
    assert notify("sending", ids) == len(ids)
    assert read_queue_depths()["sending"]["ready"] == len(ids)

    first, second = consume_all(consumer)

    assert (first.args, second.args) == ((ids[:MAX_BATCH_SIZE], "sending"), (ids[MAX_BATCH_SIZE:], "sending"))


def test_an_idle_consumer_receives_a_notification_at_once(
    consumer: BatchingConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LISTEN_SECONDS", 4.0)
    execution_id, answers = new_id(), []
    blmove = consumer.broker.client.blmove
    monkeypatch.setattr(consumer.broker.client, "blmove", lambda *arguments: answers.append(blmove(*arguments)))
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lambda: (next(consumer), next(consumer)))
        eventually(lambda: count_listeners(consumer.broker) == 1)
        notify("sending", [execution_id])
        nothing, message = waiting.result(timeout=10)

    # Redis answered with the notification, and not with nothing after LISTEN_SECONDS.
    assert [answer is None for answer in answers] == [False]
    assert nothing is None
    assert message is not None
    assert message.args == (execution_id, "sending")
    assert (read_queue_depths()["sending"]["ready"], read_queue_depths()["sending"]["unacked"]) == (0, 1)


def test_of_two_idle_consumers_one_takes_the_notification(
    broker: NotifyingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "LISTEN_SECONDS", 4.0)
    consumers = [broker.consume("sending", prefetch=200, timeout=10) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(lambda consumer=consumer: (next(consumer), next(consumer))) for consumer in consumers]
        eventually(lambda: count_listeners(broker) == 2)
        notify("sending", [new_id()])

        messages = [future.result(timeout=20)[1] for future in waiting]

    assert [message is None for message in messages].count(True) == 1
    assert read_queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 1, "dead": 0}


def test_a_consumer_with_a_full_prefetch_does_not_listen(
    broker: NotifyingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify("sending", [new_id() for _ in range(2)])
    consumer = broker.consume("sending", prefetch=1, timeout=10)
    assert next(consumer) is not None
    # A message is queued, so Redis would answer every BLMOVE at once.
    monkeypatch.setattr(broker.client, "blmove", None)

    assert next(consumer) is None


def test_messages_whose_fetch_was_not_answered_are_consumed_by_the_next_consumer(broker: NotifyingBroker) -> None:
    notify("sending", [new_id(), new_id()])
    assert len(broker.do_fetch("sending", 200)) == 2
    assert read_queue_depths()["sending"]["unacked"] == 2

    (batch,) = consume_all(broker.consume("sending", prefetch=200, timeout=10))

    assert len(batch.messages) == 2
    assert read_queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 2, "dead": 0}


def test_a_consumer_that_starts_again_leaves_alone_what_is_being_processed(broker: NotifyingBroker) -> None:
    notify("sending", [new_id()])
    (message,) = consume_all(broker.consume("sending", prefetch=200, timeout=10))

    again = broker.consume("sending", prefetch=200, timeout=10)
    assert consume_all(again) == []
    again.ack(message)

    assert read_queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 0}
    assert message.options["redis_message_id"] not in broker.in_progress["sending"]


def test_an_acknowledgement_that_redis_refuses_is_tried_again(consumer: BatchingConsumer) -> None:
    notify("sending", [new_id()])
    (message,) = consume_all(consumer)

    def refuse(*arguments: Any, **options: Any) -> None:
        raise redis.ResponseError("NOREPLICAS Not enough good replicas to write.")

    with pytest.MonkeyPatch.context() as refusing:
        refusing.setattr(redis.Redis, "execute_command", refuse)
        # Dramatiq tries again after an error of a connection, and after no other.
        with pytest.raises(ConnectionClosed, match="NOREPLICAS"):
            consumer.ack(message)
    consumer.ack(message)
    assert read_queue_depths()["sending"]["unacked"] == 0


def test_one_acknowledgement_removes_the_whole_batch(consumer: BatchingConsumer) -> None:
    notify("sending", [new_id() for _ in range(5)])
    (batch,) = consume_all(consumer)
    assert read_queue_depths()["sending"]["unacked"] == 5

    consumer.ack(batch)

    assert read_queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 0}
    assert consumer.broker.client.hlen(f"{consumer.broker.namespace}:sending.msgs") == 0
    assert consumer.outstanding_message_count == 0


def test_an_acknowledgement_keeps_messages_that_another_worker_now_holds(consumer: BatchingConsumer) -> None:
    notify("sending", [new_id() for _ in range(2)])
    (batch,) = consume_all(consumer)
    client, namespace = consumer.broker.client, consumer.broker.namespace
    message_id = batch.messages[0].options["redis_message_id"]
    client.srem(f"{namespace}:__acks__.{consumer.broker.broker_id}.sending", message_id)
    client.rpush(f"{namespace}:sending", message_id)

    consumer.ack(batch)

    assert client.hkeys(f"{namespace}:sending.msgs") == [message_id.encode()]


def test_unstarted_messages_are_requeued_one_by_one(consumer: BatchingConsumer) -> None:
    notify("sending", [new_id() for _ in range(5)])

    consumer.requeue(consume_all(consumer))

    assert read_queue_depths()["sending"] == {"ready": 5, "delayed": 0, "unacked": 0, "dead": 0}


def test_rejected_messages_are_kept_one_by_one(consumer: BatchingConsumer) -> None:
    notify("sending", [new_id() for _ in range(5)])
    (batch,) = consume_all(consumer)

    consumer.nack(batch)

    assert read_queue_depths()["sending"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 5}


def test_a_rescued_executions_notification_is_not_batched(consumer: BatchingConsumer) -> None:
    rescued, *others = [new_id() for _ in range(4)]
    notify("sending", [rescued], rescued=True)
    notify("sending", others)

    alone, batch = consume_all(consumer)

    assert not isinstance(alone, MessageBatch)
    assert (alone.args, alone.kwargs) == ((rescued, "sending"), {"rescued": True})
    assert batch.args == (others, "sending")


GOOD = {
    "queue_name": "triggers", "actor_name": "receive_trigger", "args": [], "kwargs": {"trigger": {}},
    "options": {"redis_message_id": "own"}, "message_id": "m", "message_timestamp": 1,
}  # fmt: skip

UNREADABLE = {
    "text": b"hello",
    "binary": b"\xff\xfe\x00",
    "empty": b"",
    "another document": b"[1, 2]",
    "no fields": b"{}",
    "a field too many": json.dumps({**GOOD, "priority": 1}).encode(),
    "arguments that are no list": json.dumps({**GOOD, "args": 7}).encode(),
    "options that are no object": json.dumps({**GOOD, "options": [1]}).encode(),
    "no id of its own": json.dumps({**GOOD, "options": {}}).encode(),
    "a message id that is a list": json.dumps({**GOOD, "message_id": []}).encode(),
    "an actor that is a number": json.dumps({**GOOD, "actor_name": 3}).encode(),
    "a time beyond all times": json.dumps({**GOOD, "message_timestamp": 10**40}).encode(),
    "an eta that is a text": json.dumps({**GOOD, "options": {"redis_message_id": "own", "eta": "now"}}).encode(),
    "deep nesting": b'{"args":' + b"[" * 100_000,
}


def push(broker: NotifyingBroker, redis_id: str, data: bytes | None, queue: str = "triggers") -> None:
    """Put a message into a queue as any producer can."""
    if data is not None:
        broker.client.hset(f"{broker.namespace}:{queue}.msgs", redis_id, data)
    broker.client.rpush(f"{broker.namespace}:{queue}", redis_id)


def build_good(redis_id: str) -> bytes:
    return json.dumps({**GOOD, "options": {"redis_message_id": redis_id}, "message_id": redis_id}).encode()


@pytest.mark.parametrize("garbage", UNREADABLE.values(), ids=UNREADABLE)
def test_neighbours_of_an_unreadable_message_are_consumed_at_once(broker: NotifyingBroker, garbage: bytes) -> None:
    consumer = broker.consume("triggers", prefetch=200, timeout=10)
    for redis_id in ("one", "two"):
        push(broker, redis_id, build_good(redis_id))
    push(broker, "own", garbage)
    push(broker, "three", build_good("three"))

    consumed = consume_all(consumer)

    assert [message.message_id for message in consumed] == ["one", "two", "three"]
    for message in consumed:
        consumer.ack(message)
    assert read_queue_depths()["triggers"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 1}
    assert broker.client.hget(f"{broker.namespace}:triggers.XQ.msgs", "own") == garbage


def test_an_unreadable_message_is_logged_and_counted(broker: NotifyingBroker) -> None:
    consumer, counter = broker.consume("triggers", prefetch=200, timeout=10), metrics.triggers_total
    before = counter.labels(source="redis", result="invalid")._value.get()
    push(broker, "own", b"hello")

    with capture_logs() as lines:
        assert consume_all(consumer) == []

    assert counter.labels(source="redis", result="invalid")._value.get() == before + 1
    (line,) = [line for line in lines if line["event"] == "a message was moved to the dead letters"]
    assert (line["queue"], line["redis_message_id"]) == ("triggers", "own")
    assert line["reason"] == "it is not a dramatiq message in JSON"


def test_an_id_without_a_message_leaves_nothing_unacknowledged(broker: NotifyingBroker) -> None:
    consumer = broker.consume("triggers", prefetch=200, timeout=10)
    push(broker, "lost", None)
    push(broker, "one", build_good("one"))

    (message,) = consume_all(consumer)
    consumer.ack(message)

    assert read_queue_depths()["triggers"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 0}


def test_a_message_with_the_id_of_another_does_not_stay_unacknowledged(broker: NotifyingBroker) -> None:
    consumer = broker.consume("triggers", prefetch=200, timeout=10)
    push(broker, "true", build_good("false"))

    (message,) = consume_all(consumer)
    consumer.ack(message)

    assert read_queue_depths()["triggers"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 1}


def test_an_unreadable_message_among_delayed_ones_goes_to_the_dead_letters(broker: NotifyingBroker) -> None:
    consumer = broker.consume("triggers.DQ", prefetch=200, timeout=10)
    push(broker, "own", b"hello", queue="triggers.DQ")

    assert consume_all(consumer) == []

    assert read_queue_depths()["triggers"] == {"ready": 0, "delayed": 0, "unacked": 0, "dead": 1}
