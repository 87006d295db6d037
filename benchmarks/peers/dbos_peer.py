"""DBOS: a workflow of three steps, whose outputs it stores; threads, and a queue that is polled often."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import program
import sqlalchemy
import steps
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions

#: Its guide leaves both to the application; the default interval of a second would be most of an execution's time.
CONCURRENCY, POLLING_SECONDS = 32, 0.05
QUEUE = "executions"
# It uses psycopg 3, and SQLAlchemy's default for this URL is psycopg2.
URL = steps.DATABASE_URL.replace("postgresql://", "postgresql+psycopg://")

calls = steps.BlockingCalls()


@DBOS.step()
def check() -> dict[str, bool]:
    """Decide whether the person may be written to."""
    return {"eligible": True}


@DBOS.step()
def write(first_name: str) -> str:
    """Generate the text."""
    return calls.write(first_name)


@DBOS.step()
def send(email: str, text: str, key: str) -> str:
    """Send the message."""
    return calls.send(email, text, key)


@DBOS.workflow()
def execute(number: int, first_name: str, email: str) -> None:
    """Check, generate, send."""
    check()
    send(email, write(first_name), str(number))


def _launch() -> None:
    config: DBOSConfig = {
        "name": "peer", "system_database_url": URL, "executor_id": str(os.getpid()), "application_version": "1",
        "sys_db_pool_size": CONCURRENCY, "log_level": "ERROR", "run_admin_server": False,
    }  # fmt: skip
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=POLLING_SECONDS)


def _work() -> None:
    _launch()
    threading.Event().wait()


def _open_producer() -> program.Enqueue:
    client = DBOSClient(system_database_url=URL)
    engine = sqlalchemy.create_engine(URL, pool_size=program.PRODUCERS)
    options: EnqueueOptions = {"queue_name": QUEUE, "workflow_name": execute.__qualname__, "app_version": "1"}

    def enqueue(numbers: Sequence[int]) -> None:
        with engine.begin() as connection:
            for number in numbers:
                client.enqueue_in_transaction(connection, options, number, "Ada", f"dbos{number}@example.com")

    return enqueue


if __name__ == "__main__":
    program.run(_launch, _work, _open_producer)
