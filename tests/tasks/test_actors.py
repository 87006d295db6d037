"""The actors on dramatiq's broker in memory: what each is declared with, and what reaches it through the middleware."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
import structlog
from dramatiq import Actor, Worker
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware
from structlog.testing import capture_logs

import metrics
import tasks
from models import database
from models.ids import new_id
from tasks.intake.trigger_messages import MAX_BACKOFF_MS
from tasks.runtime.broker import QUEUES, build_middleware
from tasks.runtime.notifications import enqueue_actor
from tests.support.waiting import eventually
from workers.worker_process import PROGRAMS, bind_actors

MODULES = [importlib.import_module(module.name) for module in pkgutil.walk_packages(tasks.__path__, "tasks.")]
ACTORS = {actor.actor_name: actor for module in MODULES for actor in vars(module).values() if isinstance(actor, Actor)}


class RecordedDelays(Middleware):
    """Records the delay, in ms, of each message that is enqueued for later."""

    def __init__(self) -> None:
        self.by_message: dict[str, int] = {}

    def after_enqueue(self, broker: dramatiq.Broker, message: dramatiq.Message[Any], delay: int | None) -> None:
        if delay is not None:
            self.by_message[message.message_id] = delay


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubBroker]:
    """A broker in memory with our middleware, our queues and every actor."""
    stub = StubBroker(middleware=build_middleware())
    for queue in QUEUES:
        stub.declare_queue(queue)
    monkeypatch.setattr(dramatiq.broker, "global_broker", stub)
    for actor in ACTORS.values():
        monkeypatch.setattr(actor, "broker", stub)
    bind_actors(stub)
    yield stub
    stub.close()


@pytest.fixture
def worker(broker: StubBroker) -> Iterator[Worker]:
    """One consumer thread on that broker."""
    running = Worker(broker, worker_timeout=10, worker_threads=1)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def no_postgres(tmp_path: object) -> None:
    """A process whose PostgreSQL does not answer."""
    database.open_pool(f"postgresql://nobody@/beckon?host={tmp_path}", "beckon_service", 2)


def send_trigger(trigger: Any) -> str:
    """Enqueue a trigger as a producer does, and return the message's id."""
    return str(ACTORS["receive_trigger"].send(trigger).message_id)


def test_the_worker_declares_every_actor(broker: StubBroker) -> None:
    assert broker.actors == ACTORS
    assert len(ACTORS) >= 5


def test_every_queue_of_an_actor_is_consumed_by_one_program(broker: StubBroker) -> None:
    consumed = [queue for queues in PROGRAMS.values() for queue in queues]
    assert sorted(consumed) == sorted(QUEUES)
    assert {actor.queue_name for actor in ACTORS.values()} <= set(consumed)


def test_dramatiq_repeats_triggers_only_and_cuts_no_actor_short(broker: StubBroker) -> None:
    retries = {name: actor.options["max_retries"] for name, actor in ACTORS.items()}
    assert {name for name, most in retries.items() if most != 0} == {"receive_trigger"}
    assert not {"time_limit", "max_age"} & {option for actor in ACTORS.values() for option in actor.options}


def test_a_trigger_for_an_unknown_workspace_is_logged_and_dropped(broker: StubBroker, worker: Worker) -> None:
    with capture_logs() as lines:
        send_trigger({"workspaceId": "none", "type": "contact.created"})
        broker.join("triggers")

    assert [line["event"] for line in lines] == ["trigger from redis rejected"]
    assert broker.dead_letters == []


def test_an_actor_s_log_lines_name_its_message(broker: StubBroker, worker: Worker) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        message_ids = [send_trigger({"workspaceId": "none"}) for _ in range(2)]
        broker.join("triggers")

    assert [(line["message_id"], line["queue"]) for line in lines] == [(id_, "triggers") for id_ in message_ids]


def test_the_wait_of_a_message_in_its_queue_is_measured(broker: StubBroker, worker: Worker) -> None:
    before = read_waits("triggers")
    send_trigger({"workspaceId": "none"})
    broker.join("triggers")

    assert read_waits("triggers") == before + 1


def read_waits(queue: str) -> float:
    """How many waits of this queue were measured."""
    samples = metrics.queue_wait_seconds.labels(queue=queue).collect()[0].samples
    return float(next(sample.value for sample in samples if sample.name.endswith("_count")))


def test_a_trigger_is_retried_while_postgresql_does_not_answer(
    broker: StubBroker, worker: Worker, no_postgres: None
) -> None:
    delays = RecordedDelays()
    broker.add_middleware(delays)
    message_id = send_trigger({"workspaceId": new_id(), "type": "contact.created"})

    eventually(lambda: delays.by_message)

    assert 0 < delays.by_message[message_id] <= MAX_BACKOFF_MS
    assert broker.dead_letters == []


def test_a_callback_that_fails_is_left_to_the_sweep(broker: StubBroker, worker: Worker, no_postgres: None) -> None:
    enqueue_actor("tracking", "process_event", new_id())
    broker.join("tracking", fail_fast=False)

    assert [message.options["retries"] for message in broker.dead_letters] == [1]
