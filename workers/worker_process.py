"""One worker process: dramatiq's consumers and the executor for the queues of one program, with its group commit and
its leases.

SIGTERM ends it within 25 seconds and loses nothing: it consumes no new notification, releases
generations at once, gives sends in flight 20 seconds and then records them with an unknown outcome.
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

import logs
import settings as settings_module
import traces
from ephemeral import workflow_cache
from ephemeral.connection import open_ephemeral
from ephemeral.heartbeats import Heartbeat, Pool
from models import database
from settings import Settings
from tasks.runtime import broker
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine, get_engine, start
from tasks.shutdown import drain, release_unstarted

log = structlog.get_logger(__name__)

#: The queues of each program.
PROGRAMS = {
    "executions": ("executions", "triggers"),
    "generation": ("generation",),
    "sending": ("sending",),
    "tracking": ("tracking",),
}
#: Queues of outside calls: executor threads run their executions, so few consumer threads are enough.
IO_QUEUES = {"generation", "sending"}
MAX_CONSUMER_THREADS = 2
#: Seconds that sends in flight have to end after SIGTERM.
DRAIN_TIMEOUT_SECONDS = 20.0
#: Connections beyond one for each thread: for the group commit, the leases, the completions and the main thread.
EXTRA_CONNECTIONS = 4


def run_worker(program: str) -> None:
    """Work on the queues of one program until SIGTERM or SIGINT."""
    settings = settings_module.load()
    logs.set_up(f"worker-{program}", settings.log_level)
    logs.log_uncaught_exceptions()
    traces.set_up(f"worker-{program}", settings.otlp_endpoint)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threads = settings.io_threads if program in ("generation", "sending") else settings.threads
    database.open_pool(settings.database_service_url, "beckon_service", threads + EXTRA_CONNECTIONS)
    engine = start(settings)
    running = start_worker(settings, PROGRAMS[program], threads)
    # The objects loaded so far stay alive; scanning them in every collection would only cost time.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    log.info("worker started", queues=PROGRAMS[program], threads=threads, pid=os.getpid())
    Heartbeat(program, PROGRAMS[program], lambda: read_pools(engine, running)).run_until(stopping)
    stop_worker(engine, running)
    traces.shut_down()
    log.info("worker stopped")
    sys.stdout.flush()
    # Threads in the outside call of a released execution would delay the interpreter's exit.
    os._exit(0)


@dataclass(frozen=True)
class RunningWorker:
    """The running parts that `start_worker` returns."""

    worker: Worker
    listener: workflow_cache.Listener


def start_worker(settings: Settings, queues: tuple[str, ...], threads: int) -> RunningWorker:
    """Connect to Redis and start consuming the notifications of these queues."""
    open_ephemeral(settings)
    worker_broker = broker.set_up(settings)
    handler = bind_actors(worker_broker)
    listener = workflow_cache.listen()
    get_engine().start_executor(threads, handler)
    consumer_threads = min(threads, MAX_CONSUMER_THREADS) if set(queues) <= IO_QUEUES else threads
    worker = Worker(
        worker_broker, queues=set(queues), worker_timeout=broker.LISTENER_POLL_MS, worker_threads=consumer_threads
    )
    worker.queue_prefetch = broker.PREFETCH
    worker.start()
    return RunningWorker(worker, listener)


def read_pools(engine: Engine, running: RunningWorker) -> dict[str, Pool]:
    """Measure the pool of each queue: the executor's threads where executions run, else the threads of its actors.

    Triggers are accepted between executions, so they have no pool of their own.
    """
    executor, worker = engine.executor, running.worker
    served = set(worker.consumer_whitelist or ())
    pools = {queue: Pool(executor.size, executor.busy) for queue in broker.EXECUTION_QUEUES if queue in served}
    if "tracking" in served:
        tasks = worker.work_queue
        busy = min(worker.worker_threads, max(0, tasks.unfinished_tasks - tasks.qsize()))
        pools["tracking"] = Pool(worker.worker_threads, busy)
    return pools


def bind_actors(worker_broker: Broker) -> Callable[[ClaimedExecution], bool]:
    """Declare every actor on this broker, whichever broker was set when the actor's module was first imported.

    Returns the handler that executor threads call with a claimed execution.
    """
    from tasks import executions
    from tasks.intake import callbacks, tracking_actor, trigger_messages
    from tasks.operators import operation_runner, test_run_actor
    from tasks.steps import reconciliation

    for actor in (
        executions.advance,
        callbacks.process_event,
        callbacks.process_events,
        reconciliation.reconcile_message,
        reconciliation.look_up_requested_message,
        operation_runner.run_operation,
        test_run_actor.execute_test_run,
        trigger_messages.receive_trigger,
        tracking_actor.record_tracked_executions,
    ):
        actor.broker = worker_broker
        worker_broker.declare_actor(actor)
    return executions.run_claimed


def stop_worker(engine: Engine, running: RunningWorker, drain_timeout_seconds: float = DRAIN_TIMEOUT_SECONDS) -> None:
    """Stop consuming, release or finish the work in flight, and stop the threads."""
    worker = running.worker
    for consumer in worker.consumers.values():
        consumer.pause()
    for thread in worker.workers:
        thread.stop()
    release_unstarted(engine, engine.executor.close())
    drain(engine, drain_timeout_seconds)
    worker.stop(timeout=1_000)
    running.listener.stop()
    engine.close()
