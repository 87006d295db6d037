"""Statistics of retries and their outcomes, and the retries to come.

Executions are read from the index of those with a second attempt, and failures from that of the steps that failed.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, TypedDict

from peewee import SQL, fn

from models.database import acting_as
from models.execution_filters import ExecutionFilters
from models.expressions import now
from models.queries import count, fetch, fetch_first
from models.tables import Automation, Contact, Execution
from rules.retries import MAX_RETRIES

#: The period of the statistics.
DAYS = 30
#: The executions that wait for an automatic retry.
PENDING = ExecutionFilters(failure="automatic", waiting_for="retry", test=False)


class _ExecutionCounts(TypedDict):
    attempted: int
    succeeded: int
    failed: int
    exhausted: int


class _ClassRow(TypedDict):
    error_class: str
    tries: int
    recovered: int


class ClassCounts(TypedDict):
    """Failed attempts of steps with one error class, and the steps of these that succeeded later."""

    tries: int
    recovered: int


class DayCounts(TypedDict):
    """Retries after failures of one day and error class: how many were tried, how many succeeded, and how many steps
    had used all of theirs. `success_rate` is 0 to 1 of those tried, None without any."""

    day: date
    error_class: str
    tried: int
    succeeded: int
    exhausted: int
    success_rate: float | None


class _DayRow(TypedDict):
    day: date
    error_class: str
    tried: int
    succeeded: int
    exhausted: int


class RetryStatistics(_ExecutionCounts):
    """Executions retried at least once, and their outcomes; `pending` wait for a retry, `exhausted` failed with every
    retry used. `success_rate` is 0 to 1 of those finished, None without any."""

    pending: int
    success_rate: float | None
    by_error_class: dict[str, ClassCounts]
    by_day: list[DayCounts]


class NextRetry(TypedDict):
    """An execution that waits for a retry."""

    id: str
    contact_name: str | None
    automation_id: str
    automation_name: str
    error_class: str | None
    attempt: int
    due_at: datetime


class AutomationRetries(TypedDict):
    """An automation with its switch, and how many of its executions wait for a retry."""

    id: str
    name: str
    automatic_retries: bool
    pending: int


# Written by hand: both unnest the failures of each step, for which expressions would be longer than the statements.
_FAILURES = """
    from steps s
        join executions e on e.id = s.execution_id and not e.test
        cross join jsonb_array_elements(s.failures) with ordinality f (failure, number)
    where s.failures <> '[]' and s.workspace_id = %(workspace)s
        and s.started_at >= beckon_now() - make_interval(days => %(days)s)
"""
_SELECT_BY_CLASS = """
    select f.failure ->> 'class' as error_class, count(*) as tries,
        count(distinct (s.execution_id, s.step_id)) filter (where s.status = 'succeeded') as recovered
"""
# A retry follows each failure but the last, and the last one if the step succeeded. What follows an unknown outcome is
# a look-up or a decision, not a retry.
_SELECT_BY_DAY = """
    select ((f.failure ->> 'at')::timestamptz at time zone %(zone)s)::date as day,
        f.failure ->> 'class' as error_class,
        count(*) filter (where f.number < jsonb_array_length(s.failures) or s.status = 'succeeded') as tried,
        count(*) filter (where f.number = jsonb_array_length(s.failures) and s.status = 'succeeded') as succeeded,
        count(*) filter (where f.number = jsonb_array_length(s.failures) and s.status = 'failed'
            and e.status = 'failed' and f.number > %(retries)s) as exhausted
"""
_ORDER_BY_DAY = """
    group by 1, 2
    having bool_or(f.number < jsonb_array_length(s.failures) or s.status = 'succeeded' or f.number > %(retries)s)
    order by 1 desc, 3 desc, 2
"""
_COUNT_BY_CLASS = "".join((_SELECT_BY_CLASS, _FAILURES, " group by 1 order by 2 desc"))
_IS_RETRYABLE = " and f.failure ->> 'class' <> 'unknown_outcome'"
_COUNT_BY_DAY = "".join((_SELECT_BY_DAY, _FAILURES, _IS_RETRYABLE, _ORDER_BY_DAY))


def fetch_statistics(workspace_id: str, timezone: str = "UTC") -> RetryStatistics:
    """Return statistics of the last 30 days' executions, without tests; days are those of `timezone`."""
    parameters = {"workspace": workspace_id, "days": DAYS, "zone": timezone, "retries": MAX_RETRIES}
    with acting_as(workspace_id):
        counts = _fetch_counts(workspace_id)
        pending = count(Execution.select().where(PENDING.build_condition()))
        classes = fetch(_ClassRow, _COUNT_BY_CLASS, parameters)
        days = fetch(_DayRow, _COUNT_BY_DAY, parameters)
    return {
        **counts,
        "pending": pending,
        "success_rate": _divide(counts["succeeded"], counts["succeeded"] + counts["failed"]),
        "by_error_class": {
            row["error_class"]: {"tries": row["tries"], "recovered": row["recovered"]} for row in classes
        },
        "by_day": [{**row, "success_rate": _divide(row["succeeded"], row["tried"])} for row in days],
    }


def _divide(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _fetch_counts(workspace_id: str) -> _ExecutionCounts:
    conditions: dict[str, Any] = {
        "attempted": SQL("true"),
        "succeeded": Execution.status == "succeeded",
        "failed": Execution.status == "failed",
        "exhausted": (Execution.attempt > MAX_RETRIES) & (Execution.status == "failed"),
    }
    columns = [fn.count(SQL("*")).filter(condition).alias(name) for name, condition in conditions.items()]
    row = fetch_first(
        _ExecutionCounts,
        Execution.select(*columns).where(
            Execution.workspace_id == workspace_id,
            Execution.attempt > 1,
            ~Execution.test,
            Execution.created_at >= now() - fn.make_interval(0, 0, 0, DAYS),
        ),
    )
    assert row is not None
    return row


def list_next_retries(workspace_id: str, limit: int) -> list[NextRetry]:
    """Return the executions that wait for a retry, the first due first."""
    full_name = fn.nullif(fn.trim(fn.concat_ws(" ", Contact.first_name, Contact.last_name)), "")
    query = (
        Execution.select(
            Execution.id,
            fn.coalesce(full_name, Contact.username, Contact.email, Contact.phone, Contact.external_id).alias(
                "contact_name"
            ),
            Execution.automation_id, Automation.name.alias("automation_name"), Execution.error_class,
            Execution.attempt, Execution.due_at,
        )
        .join(Automation, on=Automation.id == Execution.automation_id)
        .switch(Execution)
        .left_outer_join(Contact, on=Contact.id == Execution.contact_id)
        .where(PENDING.build_condition())
        .order_by(Execution.due_at, Execution.id)
        .limit(limit)
    )  # fmt: skip
    with acting_as(workspace_id):
        return fetch(NextRetry, query)


def list_automations(workspace_id: str, limit: int) -> list[AutomationRetries]:
    """Return the automations with the number of their executions that wait for a retry, most first."""
    waiting = Execution.select(Execution.automation_id, fn.count(SQL("*")).alias("pending")).where(
        PENDING.build_condition()
    )
    pending = waiting.group_by(Execution.automation_id).alias("waiting")
    number = fn.coalesce(pending.c.pending, 0)
    query = (
        Automation.select(Automation.id, Automation.name, Automation.automatic_retries, number.alias("pending"))
        .left_outer_join(pending, on=pending.c.automation_id == Automation.id)
        .where(Automation.workspace_id == workspace_id, Automation.deleted_at.is_null())
        .order_by(SQL("pending desc"), Automation.name, Automation.id)
        .limit(limit)
    )
    with acting_as(workspace_id):
        return fetch(AutomationRetries, query)
