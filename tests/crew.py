"""Many hands in one test: work done at once, workers that die, and what must be so whatever they did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from models.database import changed, connection, rows, value
from models.ledger import Ledger
from sandbox.server import Running

Made = TypeVar("Made")


def at_once(hands: int, work: Callable[[int], Made]) -> list[Made]:
    """`work(0)` to `work(hands - 1)`, all begun at the same moment; their answers in that order."""
    barrier = threading.Barrier(hands)

    def begin(number: int) -> Made:
        with connection():
            barrier.wait(10)
            return work(number)

    with ThreadPoolExecutor(hands) as pool:
        return list(pool.map(begin, range(hands)))


def dies_with(execution_id: str, owner: str = "a worker that dies") -> dict[str, Any]:
    """Another worker claims the execution and is never heard of again; what it was given."""
    ledger = Ledger(owner, lease_seconds=30.0)
    try:
        claimed = ledger.claim(execution_id)
    finally:
        ledger.close()
    assert claimed is not None, "there was nothing to claim"
    let_lease_run_out(execution_id)
    return claimed


def let_lease_run_out(execution_id: str) -> None:
    """As if the worker's last heartbeat lay half a minute back."""
    changed(
        "update executions set lease_until = beckon_now() - interval '1 second' where id = %s and status = 'running'",
        (execution_id,),
    )


def waiting_for_a_lock() -> int:
    """How many sessions of this test's database wait for a lock; the server has those of other tests too."""
    return int(
        value(
            "select count(*) from pg_locks l join pg_stat_activity a using (pid) "
            "where not l.granted and a.datname = current_database()"
        )
    )


def provider_calls(sandbox: Running, provider: str = "mailgun") -> int:
    """How many messages the provider accepted."""
    return len(sandbox.messages(provider=provider))


def books_balance() -> None:
    """What holds over the whole database at every quiet moment: counters equal rows, and nothing is stuck."""
    wrong = rows(
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
        where (a.executions, a.succeeded, a.failed, a.skipped, a.cancelled) is distinct from (
            a.archived_executions + e.all_rows, a.archived_succeeded + e.succeeded_rows,
            a.archived_failed + e.failed_rows, a.archived_skipped + e.skipped_rows,
            a.archived_cancelled + e.cancelled_rows)
        """
    )
    assert wrong == []
    runs = rows(
        "select a.id, a.total_runs, a.archived_runs, r.rows from automations a left join lateral "
        "(select count(*) as rows from automation_runs x where x.automation_id = a.id) r on true "
        "where a.total_runs <> a.archived_runs + r.rows"
    )
    assert runs == []
    unheld = value(
        "select count(*) from executions where (status = 'running') <> (lease_until is not null) "
        "or (status in ('pending', 'waiting') and due_at is null and waiting_for not in ('event', 'review', 'pause'))"
    )
    assert unheld == 0
