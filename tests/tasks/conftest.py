"""An engine in the test's own process, for every test in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import dramatiq.worker
import pytest
from dramatiq import Worker

from engine_ground import _engine, engine, sandbox, settings, shared_sandbox
from tasks.engine import Engine
from workers.engine import Running

__all__ = ["_engine", "engine", "sandbox", "settings", "shared_sandbox"]


@pytest.fixture
def idle(_engine: tuple[Engine, Running], engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """The engine's worker, answering no bell until the test calls `resume()`."""
    worker = _engine[1].worker
    # A consumer that was paused starts again after this long; dramatiq's own three seconds are for outages.
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.02)
    worker.pause()
    yield worker
    worker.resume()
