"""The actor that executes test runs. Only workers import it: an actor binds to its process's broker on import."""

from __future__ import annotations

import threading

import dramatiq

from models import test_run
from models.database import connection
from tasks.operators import test_runs
from tasks.runtime.engine import get_engine

#: Runs that one process executes at a time. A run takes a thread of the queue for seconds, which callbacks need too.
MAX_CONCURRENT_RUNS = 2
#: Milliseconds after which a run that found no place is offered again.
RETRY_DELAY_MS = 1000

_places = threading.BoundedSemaphore(MAX_CONCURRENT_RUNS)


@dramatiq.actor(actor_name="execute_test_run", queue_name="tracking", max_retries=0)
def execute_test_run(run_id: str) -> None:
    """Execute a test run, unless another process did; later, where this process executes others."""
    if not _places.acquire(blocking=False):
        execute_test_run.send_with_options(args=(run_id,), delay=RETRY_DELAY_MS)
        return
    try:
        with connection():
            workspace_id = test_run.find_workspace_id(run_id)
        if workspace_id is not None:
            for _ in test_runs.execute(get_engine().settings, workspace_id, run_id):
                pass
    finally:
        _places.release()
