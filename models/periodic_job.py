"""The results of the scheduler's periodic jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from models.database import connection, transaction
from models.expressions import now
from models.queries import execute, fetch
from models.tables import PeriodicJob


class _SuccessRow(TypedDict):
    name: str
    last_succeeded_at: datetime


def note_success(name: str, counts: Mapping[str, int]) -> None:
    """Record a successful run of a periodic job and its counts."""
    values = {"last_succeeded_at": now(), "counts": dict(counts)}
    _record(name, values, {**values, "last_error": None})


def note_failure(name: str, error: str) -> None:
    """Record a failed run of a periodic job."""
    values = {"last_failed_at": now(), "last_error": error}
    _record(name, values, values)


def _record(name: str, values: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    with transaction():
        execute(
            PeriodicJob.insert(name=name, **values).on_conflict(
                conflict_target=[PeriodicJob.name],
                update={getattr(PeriodicJob, column): value for column, value in changes.items()},
            )
        )


def fetch_last_successes() -> dict[str, datetime]:
    """Return when each periodic job last succeeded, by name."""
    query = PeriodicJob.select(PeriodicJob.name, PeriodicJob.last_succeeded_at)
    with connection():
        rows = fetch(_SuccessRow, query.where(PeriodicJob.last_succeeded_at.is_null(False)))
    return {row["name"]: row["last_succeeded_at"] for row in rows}
