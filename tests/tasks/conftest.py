"""An engine in the test's own process, for every test in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import dramatiq.worker
import pytest

from settings import Settings
from tasks.runtime.engine import Engine
from tests.support.engine_fixtures import _end, engine, ensure_engine, sandbox, settings, shared_sandbox
from workers.worker_process import RunningWorker

__all__ = ["_end", "engine", "sandbox", "settings", "shared_sandbox"]


@pytest.fixture
def idle(engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningWorker]:
    """The engine's worker, consuming no notification until the test calls `resume()`."""
    worker = ensure_engine(settings)[1]
    # A consumer that was paused starts again after this long; dramatiq's own three seconds are for outages.
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.02)
    worker.pause()
    yield worker
    worker.resume()
