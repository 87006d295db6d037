"""The counts of the automations that executed lately, for open pages: one query for all viewers of a workspace.

A page has the counts of the moment it was made; what changes afterwards is among the automations of the last minutes.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from models.database import acting_as
from models.queries import fetch

#: How far back an execution counts as recent: longer than a stream lasts and a browser takes to reconnect.
RECENT_MINUTES = 5


class LiveCounts(TypedDict):
    """The counts of one automation. `failed` excludes `unknown`; `last_at` is its last run, else its last execution."""

    id: str
    executions: int
    succeeded: int
    failed: int
    unknown: int
    skipped: int
    total_runs: int
    last_at: datetime | None


# By hand: the unknown outcomes are counted by their small index, once, as the cards count them.
_RECENT = """
    with unknown as materialized (
        select automation_id, count(*) as n from executions
        where workspace_id = %(workspace)s and error_class = 'unknown_outcome' and status = 'failed' and not test
        group by automation_id
    )
    select a.id, a.executions, a.succeeded, a.failed - coalesce(u.n, 0) as failed, coalesce(u.n, 0) as unknown,
        a.skipped, a.total_runs, coalesce(a.last_run_at, a.last_executed_at) as last_at
    from automations a left join unknown u on u.automation_id = a.id
    where a.workspace_id = %(workspace)s and a.deleted_at is null
        and greatest(a.last_executed_at, a.last_run_at) > beckon_now() - make_interval(mins => %(minutes)s)
    order by a.id
"""


def fetch_recent(workspace_id: str) -> list[LiveCounts]:
    """Return the counts of the automations that executed or ran in the last minutes, without tests."""
    with acting_as(workspace_id):
        return fetch(LiveCounts, _RECENT, {"workspace": workspace_id, "minutes": RECENT_MINUTES})
