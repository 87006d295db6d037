"""One call consumes many notifications; each remains a separate message in Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from dramatiq import Worker

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
