"""An engine in the test's own process: real PostgreSQL, real Redis, real HTTP to a sandbox, dramatiq's real threads."""

from __future__ import annotations

import os
from collections.abc import Iterator

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
    os.environ["BECKON_LEASE_SECONDS"] = "6"
    return settings_module.load()


@pytest.fixture(scope="session")
def _engine(settings: Settings) -> Iterator[tuple[Engine, Begun]]:
    if _engines:
        yield _engines[0]
        return
    database.open_pool(settings.database_service_url, "beckon_service", 40)
    engine = start(settings)
    begun = begin(settings, broker.QUEUES, threads=8)
    _engines.append((engine, begun))
    yield engine, begun
    stop(engine, begun, sends_get_seconds=1.0)


@pytest.fixture
def sandbox(shared_sandbox: Running) -> Running:
    """The same, with nothing sent yet and no fault set."""
    shared_sandbox.clear()
    return shared_sandbox


@pytest.fixture
def engine(_engine: tuple[Engine, Begun], settings: Settings, clean: None, sandbox: Running) -> Iterator[Engine]:
    """A running engine on an empty database; the test's own thread may query too."""
    # A test of another folder may have pointed this process elsewhere meanwhile.
    database.open_pool(settings.database_service_url, "beckon_service", 40)
    with database.connection():
        yield _engine[0]
    _come_to_rest(_engine[1])


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
