"""An engine in the test's own process: real PostgreSQL, real Redis, real HTTP to a sandbox, dramatiq's real threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest

import settings as settings_module
from models import database
from sandbox.server import Running, running
from settings import Settings
from tasks import broker
from tasks.engine import Engine, start
from waiting import eventually
from workers.engine import Running as Begun
from workers.engine import begin, stop

# pytest makes the fixtures below anew for each folder that imports them, but a process has one engine.
_sandboxes: list[Running] = []
_engines: list[tuple[Engine, Begun]] = []


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Running]:
    """The providers' stand-in for all tests of this process."""
    if _sandboxes:
        yield _sandboxes[0]
        return
    with running() as sandbox:
        os.environ["BECKON_SANDBOX_PORT"] = sandbox.url.rsplit(":", 1)[1]
        _sandboxes.append(sandbox)
        yield sandbox


@pytest.fixture(scope="session")
def settings(database_urls: object, redis_url: str, shared_sandbox: Running) -> Settings:
    """What a worker process would be told."""
    # An account with a token of its own speaks to Meta, and no test to the outside.
    return replace(settings_module.load(), meta_base_url=f"{shared_sandbox.url}/v25.0")


@pytest.fixture(scope="session")
def _end() -> Iterator[None]:
    yield
    end_engine()


def running_engine(settings: Settings) -> tuple[Engine, Begun]:
    """This process's engine and what it runs on, begun by whoever asks first."""
    if not _engines:
        # Each test waits until all threads have come to rest.
        broker.LISTENER_POLL_MS = 10
        engine = start(settings)
        _engines.append((engine, begin(settings, broker.QUEUES, threads=8)))
    return _engines[0]


def end_engine() -> None:
    """Leave the work to others: an engine of this process would answer the bells that a test's own processes await."""
    while _engines:
        stop(*_engines.pop(), sends_get_seconds=1.0)


@pytest.fixture
def sandbox(shared_sandbox: Running) -> Running:
    """The same, with nothing sent yet and no fault set."""
    shared_sandbox.clear()
    return shared_sandbox


@pytest.fixture
def engine(_end: None, settings: Settings, clean: None, sandbox: Running) -> Iterator[Engine]:
    """A running engine on an empty database; the test's own thread may query too."""
    # A test of another folder may have pointed this process elsewhere meanwhile.
    database.open_pool(settings.database_service_url, "beckon_service", 40)
    engine, begun = running_engine(settings)
    with database.connection():
        yield engine
    _come_to_rest(begun)


def _come_to_rest(begun: Begun) -> None:
    """Whatever a test left to be done is not done in the next one."""
    begun.worker.broker.flush_all()
    begun.worker.resume()
    eventually(begun.worker.work_queue.empty, within=20)
    for thread in begun.worker.workers:
        thread.pause()
    for thread in begun.worker.workers:
        thread.paused_event.wait(20)
        thread.resume()
