"""Concurrent threads, dying workers, and the invariants that hold after any of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from models.database import connection
from models.engine.group_commit import GroupCommit
from models.engine.rows import ClaimedRow
from models.queries import execute, fetch_value
from sandbox.server import RunningSandbox
from tasks.runtime.claimed_execution import ClaimedExecution
from tasks.runtime.engine import Engine
from tests.support.rows import fetch_rows

Result = TypeVar("Result")


def run_concurrently(threads: int, work: Callable[[int], Result]) -> list[Result]:
    """Call `work(0)` to `work(threads - 1)` at the same moment; return their results in that order."""
    barrier = threading.Barrier(threads)

    def run(number: int) -> Result:
        with connection():
            barrier.wait(10)
            return work(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def claim(group_commit: GroupCommit, execution_id: str) -> ClaimedRow | None:
    """Claim one execution; None if it cannot be claimed."""
    return next(iter(group_commit.claim_many([execution_id])), None)


@contextmanager
def hold_lease(engine: Engine, claimed: ClaimedExecution, requested_at: float) -> Iterator[None]:
    """Hold the lease of a claimed execution during the block."""
    engine.leases.hold(claimed, requested_at)
    try:
        yield
    finally:
        engine.leases.release(claimed)


def claim_and_abandon(execution_id: str, owner: str = "a worker that dies") -> dict[str, Any]:
    """Claim the execution as a worker that dies; return the claimed row."""
    group_commit = GroupCommit(owner, lease_seconds=30.0)
    try:
        claimed = claim(group_commit, execution_id)
    finally:
        group_commit.close()
    assert claimed is not None, "the execution could not be claimed"
    expire_lease(execution_id)
    return claimed


def expire_lease(execution_id: str) -> None:
    """Expire the lease, as if the worker's last heartbeat was half a minute ago."""
    execute(
        "update executions set lease_until = beckon_now() - interval '1 second' where id = %s and status = 'running'",
        (execution_id,),
    )


def count_lock_waiters() -> int:
    """The number of sessions that wait for a lock in this test's database; other tests use the same server."""
    return int(
        fetch_value(
            "select count(*) from pg_locks l join pg_stat_activity a using (pid) "
            "where not l.granted and a.datname = current_database()"
        )
    )


def count_provider_calls(sandbox: RunningSandbox, provider: str = "mailgun") -> int:
    """The number of messages that the provider accepted."""
    return len(sandbox.list_messages(provider=provider))


def assert_consistent() -> None:
    """Assert what holds over the whole database when nothing runs: counters equal rows, and nothing is stuck."""
    wrong = fetch_rows(
        """
        select a.id, a.executions, a.succeeded, a.failed, a.skipped, a.cancelled, e.* from automations a
        left join lateral (
            select count(*) filter (where finished_at is not null) as all_rows,
                count(*) filter (where status = 'succeeded') as succeeded_rows,
                count(*) filter (where status = 'failed') as failed_rows,
                count(*) filter (where status = 'skipped') as skipped_rows,
                count(*) filter (where status = 'cancelled') as cancelled_rows
            from executions x where x.automation_id = a.id and not x.test
        ) e on true
        left join lateral (
            select count(*) as tracked_rows, count(*) filter (where status = 'success') as tracked_successes
            from workflow_executions w where w.workflow_id = a.id
        ) t on true
        where (a.executions, a.succeeded, a.failed, a.skipped, a.cancelled) is distinct from (
            a.archived_executions + e.all_rows + tracked_rows,
            a.archived_succeeded + e.succeeded_rows + tracked_successes,
            a.archived_failed + e.failed_rows + tracked_rows - tracked_successes, a.archived_skipped + e.skipped_rows,
            a.archived_cancelled + e.cancelled_rows)
        """
    )
    assert wrong == []
    runs = fetch_rows(
        "select a.id, a.total_runs, a.archived_runs, r.rows from automations a left join lateral "
        "(select count(*) as rows from automation_runs x where x.automation_id = a.id) r on true "
        "where a.total_runs <> a.archived_runs + r.rows"
    )
    assert runs == []
    inconsistent = fetch_value(
        "select count(*) from executions where (status = 'running') <> (lease_until is not null) "
        "or (status in ('pending', 'waiting') and due_at is null and waiting_for not in ('event', 'review', 'pause'))"
    )
    assert inconsistent == 0
