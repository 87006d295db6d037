"""One worker process: dramatiq's threads for the queues of one program, with the ledger and the leases under them.

A SIGTERM ends it within 25 seconds and loses nothing (semantics, section 3): no new bell is answered, generations are
handed back at once, sends in flight get 20 seconds and are then recorded as of unknown outcome.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from dramatiq import Broker, Worker

import clock
import logs
import settings as settings_module
from ephemeral import heartbeats, workflow_cache
from ephemeral.connection import ERRORS as REDIS_ERRORS
from ephemeral.connection import open_ephemeral
from models import database
from settings import Settings
from tasks import broker
from tasks.engine import Engine, current, start
from tasks.passage import Passage
from tasks.shutdown import hand_on, part_with_everything

log = structlog.get_logger(__name__)

#: The queues of each program.
PROGRAMS = {
    "executions": ("executions", "triggers"),
    "generation": ("generation",),
    "sending": ("sending",),
    "tracking": ("tracking",),
}
#: Queues of outside calls: their bells are answered by the hands, and few threads are enough to hear them.
IO_QUEUES = {"generation", "sending"}
MOST_LISTENERS = 2
#: How long sends in flight may take to end after a SIGTERM.
SENDS_GET_SECONDS = 20.0
#: Connections beyond one for each thread: the ledger's, the leases', the last words' and the main thread's.
MORE_CONNECTIONS = 4


def run_worker(program: str) -> None:
    """Work on the queues of one program until SIGTERM or SIGINT."""
    settings = settings_module.load()
    logs.set_up(f"worker-{program}", settings.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threads = settings.io_threads if program in ("generation", "sending") else settings.threads
    database.open_pool(settings.database_service_url, "beckon_service", threads + MORE_CONNECTIONS)
    engine = start(settings)
    running = begin(settings, PROGRAMS[program], threads)
    # What there is by now stays; looking through it again and again for garbage would find none.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    log.info("worker started", queues=PROGRAMS[program], threads=threads, pid=os.getpid())
    announce(PROGRAMS[program], stopping)
    stop(engine, running)
    log.info("worker stopped")
    sys.stdout.flush()
    # Threads inside a call that was handed back would keep the interpreter waiting.
    os._exit(0)


def announce(queues: tuple[str, ...], stopping: threading.Event) -> None:
    """Say every few seconds that this process is alive, until it is told to stop."""
    started = clock.now()
    while True:
        try:
            heartbeats.beat(queues, started)
        except REDIS_ERRORS as error:
            log.warning("redis is away, nobody hears this worker", error=str(error))
        if stopping.wait(heartbeats.EVERY_SECONDS):
            break
    try:
        heartbeats.stop()
    except REDIS_ERRORS as error:
        log.warning("redis is away, this worker is listed a while longer", error=str(error))


@dataclass(frozen=True)
class Running:
    """What `begin` started."""

    worker: Worker
    listener: workflow_cache.Listener


def begin(settings: Settings, queues: tuple[str, ...], threads: int) -> Running:
    """Connect to Redis and start answering the bells of these queues."""
    open_ephemeral(settings)
    made = broker.set_up(settings)
    carry_on = _bind_actors(made)
    listener = workflow_cache.listen()
    current().employ(threads, carry_on)
    listeners = min(threads, MOST_LISTENERS) if set(queues) <= IO_QUEUES else threads
    worker = Worker(made, queues=set(queues), worker_timeout=broker.LISTENER_POLL_MS, worker_threads=listeners)
    worker.queue_prefetch = broker.PREFETCH
    worker.start()
    return Running(worker, listener)


def _bind_actors(made: Broker) -> Callable[[Passage], bool]:
    """Let this broker's worker find every actor, whichever broker was set when its module was first imported.

    The answer is what hands do with what was claimed.
    """
    from tasks import executions, inbound, look_ups, trigger_messages

    for actor in (
        executions.advance,
        inbound.process_event,
        inbound.process_events,
        look_ups.look_up_message,
        trigger_messages.receive_trigger,
    ):
        actor.broker = made
        made.declare_actor(actor)
    return executions.carry_on


def stop(engine: Engine, running: Running, sends_get_seconds: float = SENDS_GET_SECONDS) -> None:
    """End the work in an orderly way, and the threads under it."""
    worker = running.worker
    for consumer in worker.consumers.values():
        consumer.pause()
    for thread in worker.workers:
        thread.stop()
    hand_on(engine, engine.hands.close())
    part_with_everything(engine, sends_get_seconds)
    worker.stop(timeout=1_000)
    running.listener.stop()
    engine.close()
