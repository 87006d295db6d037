"""One worker process: a pool of threads for each of its queues, with one group commit, one broker and its leases.

The engine has the pools `executions`, `generation` and `sending`; an execution goes from one to the next in memory.
Each pool takes the notifications of its queue with consumer threads of its own, so that a full pool holds up no other.
`tracking` is a program of its own.

SIGTERM ends a process within 25 seconds and loses nothing: it consumes no new notification, releases generations at
once, gives sends in flight 20 seconds and then records them with an unknown outcome.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import structlog
from dramatiq import Broker, Worker
from dramatiq.worker import ConsumerThread, WorkerThread

import logs
import settings as settings_module
import traces
from ephemeral import workflow_cache
from ephemeral.connection import open_ephemeral
from ephemeral.heartbeats import Heartbeat, Pool
from models import database
from models.connection_pools import compute_engine_pool, compute_tracking_pool
from rules.stages import Queue
from settings import Settings
from tasks.runtime import broker
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine, get_engine, start
from tasks.shutdown import drain, release_unstarted
from workers.thread_switching import adjust_interval

log = structlog.get_logger(__name__)

#: The queues of each program.
PROGRAMS = {
    "engine": ("executions", "triggers", "generation", "sending"),
    "tracking": ("tracking",),
}
#: Queues whose actors run on the consumer threads of another queue.
SHARED_CONSUMERS = {"triggers": "executions"}
#: Queues of outside calls: their pools' threads run the executions, so few consumer threads are enough.
IO_QUEUES = ("generation", "sending")
MAX_CONSUMER_THREADS = 2
#: Seconds that sends in flight have to end after SIGTERM.
DRAIN_TIMEOUT_SECONDS = 20.0


def run_worker(queues: Sequence[str] = PROGRAMS["engine"]) -> None:
    """Work on these queues until SIGTERM or SIGINT."""
    settings, program = settings_module.load(), find_program(queues)
    logs.set_up(f"worker-{program}", settings.log_level)
    logs.log_uncaught_exceptions()
    traces.set_up(f"worker-{program}", settings.otlp_endpoint)
    stopping = threading.Event()
    threading.Thread(target=adjust_interval, args=(stopping,), name="switching", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threads = sum(count_threads(settings, queue) for queue in queues if queue not in SHARED_CONSUMERS)
    is_tracking = program == "tracking"
    connections = compute_tracking_pool(settings) if is_tracking else compute_engine_pool(settings, threads)
    database.open_pool(settings.database_service_url, "beckon_service", connections)
    engine = start(settings)
    running = start_worker(settings, queues)
    # The objects loaded so far stay alive; scanning them in every collection would only cost time.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    log.info("worker started", queues=queues, threads=threads, pid=os.getpid())
    Heartbeat(program, queues, lambda: read_pools(engine, running)).run_until(stopping)
    stop_worker(engine, running)
    traces.shut_down()
    log.info("worker stopped")
    logs.flush()
    sys.stdout.flush()
    # Threads in the outside call of a released execution would delay the interpreter's exit.
    os._exit(0)


def find_program(queues: Sequence[str]) -> str:
    """Return the program that serves these queues, or some of them."""
    return "tracking" if set(queues) <= set(PROGRAMS["tracking"]) else "engine"


def count_threads(settings: Settings, queue: str) -> int:
    """Return the number of threads of a queue's pool."""
    return settings.io_threads if queue in IO_QUEUES else settings.threads


@dataclass(frozen=True)
class RunningWorker:
    """The running parts that `start_worker` returns: dramatiq's workers by the queue that names them."""

    broker: Broker
    workers: dict[str, Worker]
    listener: workflow_cache.Listener

    def pause(self) -> None:
        """Consume nothing until `resume`. All threads are told first: an idle consumer notices it late."""
        threads: list[ConsumerThread | WorkerThread] = []
        for worker in self.workers.values():
            threads += [*worker.consumers.values(), *worker.workers]
        for thread in threads:
            thread.pause()
        for thread in threads:
            thread.paused_event.wait()

    def resume(self) -> None:
        """Consume again."""
        for worker in self.workers.values():
            worker.resume()


class ClaimFunctions(NamedTuple):
    """What the engine calls: to run a claimed execution, and to claim due ones of a queue."""

    run_claimed: Callable[[ClaimedExecution], bool]
    claim_due: Callable[[Queue, int], int]


def start_worker(settings: Settings, queues: Sequence[str]) -> RunningWorker:
    """Connect to Redis, start the pool of each queue, and consume the notifications of these queues.

    Dramatiq advises against several workers in a process, because they compete for the same messages. Ours share the
    connection and no queue.
    """
    open_ephemeral(settings)
    worker_broker = broker.set_up(settings)
    functions = bind_actors(worker_broker)
    listener = workflow_cache.listen()
    pools = [cast(Queue, queue) for queue in broker.EXECUTION_QUEUES if queue in queues]
    get_engine().start_pools({queue: count_threads(settings, queue) for queue in pools}, *functions)
    groups: dict[str, set[str]] = {}
    for queue in queues:
        groups.setdefault(SHARED_CONSUMERS.get(queue, queue), set()).add(queue)
    workers = {name: _start_consumers(worker_broker, group, settings, name) for name, group in groups.items()}
    return RunningWorker(worker_broker, workers, listener)


def _start_consumers(worker_broker: Broker, queues: set[str], settings: Settings, name: str) -> Worker:
    threads = count_threads(settings, name)
    worker = Worker(
        worker_broker,
        queues=queues,
        worker_timeout=broker.LISTENER_POLL_MS,
        worker_threads=min(threads, MAX_CONSUMER_THREADS) if name in IO_QUEUES else threads,
    )
    worker.queue_prefetch = broker.PREFETCH
    worker.start()
    # It adds consumers for queues that are declared later. There are none, and dramatiq warns of a second one.
    del worker_broker.middleware[-1]
    return worker


def read_pools(engine: Engine, running: RunningWorker) -> dict[str, Pool]:
    """Measure the pool of each queue: the threads that run its executions, or for `tracking` those of its actors.

    Triggers are accepted between executions, so they have no pool of their own.
    """
    pools: dict[str, Pool] = {queue: Pool(pool.size, pool.busy) for queue, pool in engine.pools.items()}
    worker = running.workers.get("tracking")
    if worker is not None:
        tasks = worker.work_queue
        busy = min(worker.worker_threads, max(0, tasks.unfinished_tasks - tasks.qsize()))
        pools["tracking"] = Pool(worker.worker_threads, busy)
    return pools


def bind_actors(worker_broker: Broker) -> ClaimFunctions:
    """Declare every actor on this broker, whichever broker was set when the actor's module was first imported.

    Returns the handler that the pools' threads call with a claimed execution.
    """
    from tasks import executions
    from tasks.intake import callbacks, tracking_actor, trigger_messages
    from tasks.operators import operation_runner, test_run_actor
    from tasks.steps import help_replies, reconciliation

    for actor in (
        executions.advance,
        callbacks.process_event,
        callbacks.process_events,
        reconciliation.reconcile_message,
        reconciliation.look_up_requested_message,
        help_replies.send_help_reply,
        operation_runner.run_operation,
        test_run_actor.execute_test_run,
        trigger_messages.receive_trigger,
        tracking_actor.record_tracked_executions,
    ):
        actor.broker = worker_broker
        worker_broker.declare_actor(actor)
    return ClaimFunctions(executions.run_claimed, executions.claim_due)


def stop_worker(engine: Engine, running: RunningWorker, drain_timeout_seconds: float = DRAIN_TIMEOUT_SECONDS) -> None:
    """Stop consuming, release or finish the work in flight, and stop the threads."""
    workers = running.workers.values()
    for worker in workers:
        for consumer in worker.consumers.values():
            consumer.pause()
        for thread in worker.workers:
            thread.stop()
    release_unstarted(engine, [claimed for pool in engine.pools.values() for claimed in pool.close()])
    drain(engine, drain_timeout_seconds)
    stops = [threading.Thread(target=worker.stop, kwargs={"timeout": 1_000}) for worker in workers]
    for stop in stops:
        stop.start()
    for stop in stops:
        stop.join()
    running.listener.stop()
    engine.close()
