"""Removes executions past their retention, with their steps, messages, stage history and triggers.

Executions and steps have a partition for each month of the executions' ids. A month is dropped as a whole once its
last execution is older than the retention; executions in flight, and those that ended later, move to the default
partitions first. Everything else is deleted in small batches, so that no lock is held for long: tests, the executions
of workspaces that keep them for less, those in the default partitions, and the messages and triggers of dropped months.

Removed executions are added to their automation's archived columns, so that a counter always equals archived counts
plus rows.

The statements are written by hand: each counts or checks executions and deletes rows of several tables at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypedDict

from peewee import fn

from models.database import transaction
from models.expressions import now
from models.queries import call, execute, fetch, fetch_value

#: Retention of real executions, unless their workspace keeps them for less; that of tests is shorter.
KEEP_DAYS = 90
#: The least that a workspace may keep them.
MIN_KEEP_DAYS = 7
KEEP_TEST_DAYS = 7
#: Partitions of executions that are created ahead.
MONTHS_AHEAD = 1
#: Executions removed by one transaction, few enough to hold no lock for long.
BATCH_SIZE = 1_000
#: Messages or triggers removed by one transaction: narrower, and nothing else locks them.
DEPENDENT_BATCH_SIZE = 5_000
#: Batches in one run; the next run continues.
MAX_BATCHES = 50

_PARAMETERS = {"test": KEEP_TEST_DAYS, "real": KEEP_DAYS, "batch": BATCH_SIZE, "dependents": DEPENDENT_BATCH_SIZE}

#: Each part reads one index up to the rows that it removes: what is older by its id, and not removed, is in flight.
_REMOVE_EXECUTIONS = """
    with expired as materialized (
        (select e.id from executions e
        where e.test and e.id < lowest_id_at(beckon_now() - make_interval(days => %(test)s))
            and e.finished_at < beckon_now() - make_interval(days => %(test)s)
        order by e.id limit %(batch)s)
        union
        (select o.id from workspaces w cross join lateral (
            select e.id from executions e
            where e.workspace_id = w.id and e.id < lowest_id_at(beckon_now() - make_interval(days => w.keep_days))
                and e.finished_at < beckon_now() - make_interval(days => w.keep_days)
            order by e.id limit %(batch)s
        ) o where w.keep_days < %(real)s order by o.id limit %(batch)s)
        union
        (select e.id from executions_default e
        where e.finished_at < beckon_now() - make_interval(days => %(real)s) order by e.finished_at limit %(batch)s)
    ), old as materialized (
        select e.id, e.automation_id, e.status, e.test from executions e
        where e.id = any(array(select id from expired)) order by e.id limit %(batch)s for update of e skip locked
    ), archived as (
        update automations a set
            archived_executions = a.archived_executions + o.executions,
            archived_succeeded = a.archived_succeeded + o.succeeded,
            archived_failed = a.archived_failed + o.failed,
            archived_skipped = a.archived_skipped + o.skipped,
            archived_cancelled = a.archived_cancelled + o.cancelled
        from (
            select automation_id, count(*) as executions,
                count(*) filter (where status = 'succeeded') as succeeded,
                count(*) filter (where status = 'failed') as failed,
                count(*) filter (where status = 'skipped') as skipped,
                count(*) filter (where status = 'cancelled') as cancelled
            from old where not test group by automation_id
        ) o where a.id = o.automation_id
    ), stepped as (
        delete from steps s using old where s.execution_id = old.id
    ), written as (
        delete from messages m using old where m.execution_id = old.id
    ), passed as (
        delete from stage_history h using old where h.execution_id = old.id
    ), gone as (
        delete from executions e using old where e.id = old.id returning e.id
    )
    select count(*) as removed from gone
"""
#: Before the months that are kept there are only messages of dropped executions, and of the few that moved.
_REMOVE_MESSAGES = """
    delete from messages where id in (
        select m.id from messages m
        where m.execution_id < lowest_id_at(date_trunc('month', beckon_now() - make_interval(days => %(real)s), 'UTC'))
            and not exists (select 1 from executions e where e.id = m.execution_id)
        order by m.execution_id limit %(dependents)s)
"""
#: A trigger's `answer` names its executions, so no index is needed.
_REMOVE_TRIGGERS = """
    delete from triggers where id in (
        select t.id from triggers t join workspaces w on w.id = t.workspace_id
        where t.created_at < case when w.keep_days < %(real)s then beckon_now() - make_interval(days => w.keep_days)
                else date_trunc('month', beckon_now() - make_interval(days => %(real)s), 'UTC') end
            and not exists (
                select 1 from jsonb_array_elements(t.answer->'executions') started
                join executions e on e.id = (started->>'executionId')::uuid)
        order by t.created_at limit %(dependents)s)
"""


class _DroppedRow(TypedDict):
    months: int
    executions: int


def create_partitions() -> int:
    """Create the partitions of the next months, and refresh the statistics of the whole tables; return how many."""
    with transaction():
        created = int(fetch_value(call(fn.ensure_execution_partitions(MONTHS_AHEAD))))
    with transaction():
        fetch_value(call(fn.analyze_executions()))
    return created


def remove_expired() -> dict[str, int]:
    """Remove expired executions and what belongs to them; return the counts by kind."""
    before = now() - timedelta(days=KEEP_DAYS)
    with transaction():
        (dropped,) = fetch(_DroppedRow, call(fn.drop_execution_partitions(before), _DroppedRow))
    with transaction():
        history_months = int(fetch_value(call(fn.drop_history_partitions(before))))
    return {
        "months_dropped": dropped["months"],
        "history_months_dropped": history_months,
        "executions": dropped["executions"] + _repeat(_remove_executions, BATCH_SIZE),
        "messages": _repeat(lambda: execute(_REMOVE_MESSAGES, _PARAMETERS), DEPENDENT_BATCH_SIZE),
        "triggers": _repeat(lambda: execute(_REMOVE_TRIGGERS, _PARAMETERS), DEPENDENT_BATCH_SIZE),
    }


def _repeat(remove: Callable[[], int], batch_size: int) -> int:
    """Remove batches, each in a transaction of its own, until one is not full; return how many rows."""
    total = 0
    for _ in range(MAX_BATCHES):
        with transaction():
            removed = remove()
        total += removed
        if removed < batch_size:
            break
    return total


def _remove_executions() -> int:
    return int(fetch_value(_REMOVE_EXECUTIONS, _PARAMETERS))
