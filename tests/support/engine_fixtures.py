"""An engine in the test's own process: real PostgreSQL, Redis, HTTP to a sandbox, and dramatiq's threads."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import settings as settings_module
from models import database
from sandbox.server import RunningSandbox, run_sandbox
from settings import Settings
from tasks.runtime import broker, consumer
from tasks.runtime.engine import Engine, start
from tests.support.waiting import eventually
from workers.worker_process import RunningWorker, start_worker, stop_worker

# pytest creates the fixtures below again for each folder that imports them, but a process has one engine.
_sandboxes: list[RunningSandbox] = []
_engines: list[tuple[Engine, RunningWorker]] = []


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[RunningSandbox]:
    """The sandbox for all tests of this process."""
    if _sandboxes:
        yield _sandboxes[0]
        return
    with run_sandbox() as sandbox:
        os.environ["BECKON_SANDBOX_PORT"] = sandbox.url.rsplit(":", 1)[1]
        _sandboxes.append(sandbox)
        yield sandbox


@pytest.fixture(scope="session")
def settings(database_urls: object, redis_url: str, shared_sandbox: RunningSandbox) -> Settings:
    """The settings of a worker process."""
    # An account with its own token calls Meta, and no test may call the outside.
    return settings_module.load().replace(meta_base_url=f"{shared_sandbox.url}/v25.0")


@pytest.fixture(scope="session")
def _end() -> Iterator[None]:
    yield
    stop_engine()


def ensure_engine(settings: Settings) -> tuple[Engine, RunningWorker]:
    """This process's engine and its worker, started on the first call."""
    if not _engines:
        # Each test waits until all threads are idle, and many until the consumers are.
        broker.LISTENER_POLL_MS = 10
        consumer.LISTEN_SECONDS = 0.05
        engine = start(settings)
        _engines.append((engine, start_worker(settings.replace(threads=8, io_threads=8), broker.QUEUES)))
    return _engines[0]


def stop_engine() -> None:
    """Stop this process's engine, which would take the notifications that a test's own processes wait for."""
    while _engines:
        stop_worker(*_engines.pop(), drain_timeout_seconds=1.0)


@pytest.fixture
def sandbox(shared_sandbox: RunningSandbox) -> RunningSandbox:
    """The shared sandbox, with no messages and no faults."""
    shared_sandbox.clear()
    return shared_sandbox


@pytest.fixture
def engine(_end: None, settings: Settings, clean: None, sandbox: RunningSandbox) -> Iterator[Engine]:
    """A running engine on an empty database; the test's own thread may query too."""
    # A test of another folder may have connected this process to another database.
    database.open_pool(settings.database_service_url, "beckon_service", 40)
    engine, running_worker = ensure_engine(settings)
    with database.connection():
        yield engine
    _drain(engine, running_worker)


def _drain(engine: Engine, running_worker: RunningWorker) -> None:
    """Remove the work that a test left, so that it does not run in the next one."""
    running_worker.broker.flush_all()
    running_worker.resume()
    eventually(lambda: all(worker.work_queue.empty() for worker in running_worker.workers.values()), timeout=20)
    threads = [thread for worker in running_worker.workers.values() for thread in worker.workers]
    for thread in threads:
        thread.pause()
    for thread in threads:
        thread.paused_event.wait(20)
        thread.resume()
    eventually(lambda: all(shortfalls.is_idle for shortfalls in engine.shortfalls.values()), timeout=20)
