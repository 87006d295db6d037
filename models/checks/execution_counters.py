"""Rebuilds the automations' execution counters from the rows and the archived counts.

A counter moves in the transaction that changes its rows, under the lock of its automation. Once all automations are
locked, a new statement sees exactly the rows whose counters have moved: the others move them afterwards.

The statement is written by hand, like the invariant `counters_add_up`, which reads the same counts and which it
restores.
"""

from __future__ import annotations

from models.database import transaction
from models.queries import execute
from models.tables import Automation

#: What every automation's counters must be: what retention archived, and the rows that are left.
EXPECTED_COUNTERS = """
    select b.id,
        b.archived_executions + coalesce(e.executions, 0) + coalesce(t.executions, 0) as executions,
        b.archived_succeeded + coalesce(e.succeeded, 0) + coalesce(t.succeeded, 0) as succeeded,
        b.archived_failed + coalesce(e.failed, 0) + coalesce(t.failed, 0) as failed,
        b.archived_skipped + coalesce(e.skipped, 0) as skipped,
        b.archived_cancelled + coalesce(e.cancelled, 0) as cancelled
    from automations b left join (
        select automation_id, count(*) as executions,
            count(*) filter (where status = 'succeeded') as succeeded,
            count(*) filter (where status = 'failed') as failed,
            count(*) filter (where status = 'skipped') as skipped,
            count(*) filter (where status = 'cancelled') as cancelled
        from executions where finished_at is not null and not test group by automation_id
    ) e on e.automation_id = b.id left join (
        select workspace_id, workflow_id, count(*) as executions,
            count(*) filter (where status = 'success') as succeeded,
            count(*) filter (where status <> 'success') as failed
        from workflow_executions group by workspace_id, workflow_id
    ) t on t.workflow_id = b.id and t.workspace_id = b.workspace_id
"""
_UPDATE = """
    update automations a set executions = x.executions, succeeded = x.succeeded, failed = x.failed,
        skipped = x.skipped, cancelled = x.cancelled
    from ({expected}) x where a.id = x.id
"""
_REBUILD = _UPDATE.format(expected=EXPECTED_COUNTERS)


def rebuild() -> int:
    """Rebuild every automation's counters; return the number of automations. Whoever counts meanwhile waits."""
    with transaction():
        execute("set local statement_timeout = 0")
        # In the order in which everybody else takes them.
        execute(Automation.select(Automation.id).order_by(Automation.id).for_update())
        return execute(_REBUILD)
