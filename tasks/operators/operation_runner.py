"""The actor that moves bulk actions and imports on.

Only workers import it: an actor binds to its process's broker on import."""

from __future__ import annotations

import time

import dramatiq

from models import operation
from models.database import connection
from tasks.operators import bulk, contact_import
from tasks.runtime.notifications import enqueue_actor

#: A message of an operation is enqueued again after so many seconds, so that it neither blocks a thread for long nor
#: delays a shutdown.
RUN_SECONDS = 5.0


@dramatiq.actor(actor_name="run_operation", queue_name="tracking", max_retries=0)
def run_operation(operation_id: str) -> None:
    """Move batches of an operation until it is finished or another process does; continue in another message after
    some seconds."""
    with connection():
        owner = operation.find_owner(operation_id)
    if owner is None:
        return
    run_next_batch = contact_import.run_next_batch if owner["kind"] == "import" else bulk.run_next_batch
    stop_at = time.monotonic() + RUN_SECONDS
    while run_next_batch(owner["workspace_id"], operation_id):
        if time.monotonic() > stop_at:
            enqueue_actor("tracking", "run_operation", operation_id)
            return
