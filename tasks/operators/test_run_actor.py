"""The actor that executes test runs. Only workers import it: an actor binds to its process's broker on import."""

from __future__ import annotations

import dramatiq

from models import test_run
from models.database import connection
from tasks.operators import test_runs
from tasks.runtime.engine import get_engine


@dramatiq.actor(actor_name="execute_test_run", queue_name="tracking", max_retries=0)
def execute_test_run(run_id: str) -> None:
    """Execute a test run, unless another process did."""
    with connection():
        workspace_id = test_run.find_workspace_id(run_id)
    if workspace_id is not None:
        for _ in test_runs.execute(get_engine().settings, workspace_id, run_id):
            pass
