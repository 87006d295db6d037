"""Statistics of retries and their outcomes."""

from __future__ import annotations

from typing import Any, TypedDict

from peewee import SQL, fn

from models.database import acting_as
from models.expressions import now
from models.queries import fetch, fetch_first
from models.tables import Execution
from rules.retries import MAX_RETRIES

#: The period of the statistics.
DAYS = 30


class _Counts(TypedDict):
    attempted: int
    succeeded: int
    failed: int
    exhausted: int
    pending: int


class _ClassRow(TypedDict):
    error_class: str
    tries: int
    recovered: int


class ClassCounts(TypedDict):
    """Failed attempts of steps with one error class, and the steps of these that succeeded later."""

    tries: int
    recovered: int


class RetryStatistics(_Counts):
    """Executions retried at least once, and their outcomes; `pending` wait for a retry, `exhausted` failed with every
    retry used. `success_rate` is 0 to 1 of those finished, None without any."""

    success_rate: float | None
    by_error_class: dict[str, ClassCounts]


# Written by hand: it unnests the failures of each step, for which an expression would be longer than the statement.
_COUNT_BY_CLASS = """
    select failure ->> 'class' as error_class, count(*) as tries,
        count(distinct (s.execution_id, s.step_id)) filter (where s.status = 'succeeded') as recovered
    from steps s, jsonb_array_elements(s.failures) failure
    where s.failures <> '[]' and s.execution_id in (
        select e.id from executions e where e.workspace_id = %s and not e.test
            and e.created_at >= beckon_now() - make_interval(days => %s))
    group by 1 order by 2 desc
"""


def fetch_statistics(workspace_id: str) -> RetryStatistics:
    """Return statistics of the last 30 days' executions, without tests."""
    with acting_as(workspace_id):
        counts = _fetch_counts(workspace_id)
        classes = fetch(_ClassRow, _COUNT_BY_CLASS, (workspace_id, DAYS))
    ended = counts["succeeded"] + counts["failed"]
    return {
        **counts,
        "success_rate": round(counts["succeeded"] / ended, 4) if ended else None,
        "by_error_class": {
            row["error_class"]: {"tries": row["tries"], "recovered": row["recovered"]} for row in classes
        },
    }


def _fetch_counts(workspace_id: str) -> _Counts:
    is_retried = Execution.attempt > 1
    conditions: dict[str, Any] = {
        "attempted": is_retried,
        "succeeded": is_retried & (Execution.status == "succeeded"),
        "failed": is_retried & (Execution.status == "failed"),
        "exhausted": (Execution.attempt > MAX_RETRIES) & (Execution.status == "failed"),
        "pending": (Execution.status == "waiting") & (Execution.waiting_for == "retry"),
    }
    columns = [fn.count(SQL("*")).filter(condition).alias(name) for name, condition in conditions.items()]
    row = fetch_first(
        _Counts,
        Execution.select(*columns).where(
            Execution.workspace_id == workspace_id,
            ~Execution.test,
            Execution.created_at >= now() - fn.make_interval(0, 0, 0, DAYS),
        ),
    )
    assert row is not None
    return row
