"""What waits in the whole installation for a person, a provider or a worker: counts that reveal no workspace."""

from __future__ import annotations

from typing import TypedDict

from peewee import fn

from models.checks.execution_retention import KEEP_DAYS
from models.database import connection
from models.queries import call, fetch, fetch_first


class OpenWork(TypedDict):
    """Executions of unknown outcome, by whether a look-up is planned, and stored events that wait for a worker."""

    unknown_undecided: int
    unknown_reconciling: int
    callbacks_unprocessed: int
    callbacks_oldest_seconds: float


class DefaultPartitionRows(TypedDict):
    """Rows in default partitions whose month has no partition, by table; those that retention keeps are not counted."""

    executions: int
    steps: int


class PauseCount(TypedDict):
    """In how many workspaces a provider or queue is paused for a reason."""

    kind: str
    name: str
    reason: str
    workspaces: int


def fetch_open_work() -> OpenWork:
    """Return the counts of the installation."""
    with connection():
        row = fetch_first(OpenWork, call(fn.open_work_facts(), OpenWork))
    assert row is not None
    return row


def fetch_default_partition_rows() -> DefaultPartitionRows:
    """Count what fell into the default partitions of the executions and their steps."""
    with connection():
        row = fetch_first(DefaultPartitionRows, call(fn.default_partition_facts(KEEP_DAYS), DefaultPartitionRows))
    assert row is not None
    return row


def count_pauses() -> list[PauseCount]:
    """Count the workspaces of each pause of a provider or queue."""
    with connection():
        return fetch(PauseCount, call(fn.pause_facts(), PauseCount))
