"""Keeps the tallies of Analytics: adds the changes that were appended, and removes what is past its retention.

Nothing is lost or wrong without it: a reader adds the changes itself (`models.reports.analytics_reader`).
"""

from __future__ import annotations

from datetime import timedelta

from peewee import fn

from models.checks.execution_retention import KEEP_DAYS
from models.database import transaction
from models.expressions import now
from models.queries import call, execute, fetch_value
from models.tables import AnalyticsTally, Workspace

#: Changes added in one transaction.
BATCH_SIZE = 20_000
#: Batches of one run; the next run continues.
MAX_BATCHES = 20


def run_once() -> dict[str, int]:
    """Add the appended changes to the tallies; return how many changes were added."""
    added = 0
    for _ in range(MAX_BATCHES):
        with transaction():
            batch = int(fetch_value(call(fn.add_analytics_changes(BATCH_SIZE))))
        added += batch
        if batch < BATCH_SIZE:
            break
    return {"added": added}


def remove_old() -> int:
    """Remove the tallies of days whose executions are past their workspace's retention; return how many."""
    days = fn.coalesce(Workspace.keep_days, KEEP_DAYS) + 1
    oldest = Workspace.select(now() - fn.make_interval(0, 0, 0, days)).where(
        Workspace.id == AnalyticsTally.workspace_id
    )
    # The first condition is the index's: no workspace keeps its rows for less.
    is_aged = AnalyticsTally.at < now() - timedelta(days=8)
    with transaction():
        return execute(AnalyticsTally.delete().where(is_aged, AnalyticsTally.at < oldest))
