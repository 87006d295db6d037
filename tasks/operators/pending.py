"""The due executions of a workspace, each with the reason why it is not running yet, for the page and the command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ephemeral.connection import ERRORS
from models import leadership, pause
from models.database import acting_as
from models.reports import pending
from models.reports.pending import DueRow, Place
from rules.pending import WorkFacts, explain_pending
from tasks.health.facts import read_processes


class PendingRow(DueRow):
    """A due execution, and why it is not running yet."""

    because: str


def list_pending(
    workspace_id: str, limit: int, queue: str | None = None, after: Place | None = None
) -> list[PendingRow]:
    """Return at most `limit` due executions, longest first, with their reasons."""
    rows = pending.list_due(workspace_id, limit, queue, after)
    ahead = Counter(pending.count_ahead(workspace_id, after) if after else {})
    return _explain(rows, ahead, _read_facts(workspace_id))


def _explain(rows: Sequence[DueRow], ahead: Counter[str], facts: WorkFacts) -> list[PendingRow]:
    explained: list[PendingRow] = []
    for row in rows:
        because = explain_pending(
            row["queue"],
            automation_paused=row["automation_paused"],
            is_notified=row["is_notified"],
            ahead=ahead[row["queue"]],
            facts=facts,
        )
        ahead[row["queue"]] += 1
        explained.append({**row, "because": because})
    return explained


def _read_facts(workspace_id: str) -> WorkFacts:
    with acting_as(workspace_id):
        paused = {row["name"]: row["draining"] for row in pause.list_all(workspace_id) if row["kind"] == "queue"}
    try:
        served, redis_up = {queue for process in read_processes().live for queue in process.queues}, True
    except ERRORS:
        served, redis_up = set(), False
    return WorkFacts(redis_up, leadership.fetch_leader() is not None, served, paused)
