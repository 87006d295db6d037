"""The counts above every page: each equals the number of executions that its filters list, without tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from models.database import Row, acting_as, fetch_row
from models.reports.filters import ExecutionFilters

PENDING = ExecutionFilters(status="pending", test=False)
RUNNING = ExecutionFilters(status="running", test=False)
WAITING = ExecutionFilters(status="waiting", test=False)
REVIEW = ExecutionFilters(status="waiting", test=False, review=True)
FAILED = ExecutionFilters(status="failed", test=False, outcome_unknown=False)
UNKNOWN = ExecutionFilters(status="failed", test=False, outcome_unknown=True)


@dataclass(frozen=True)
class Summary:
    """Counts of the workspace's executions. `skipped` counts those accepted since midnight, `sent` those with a message
    sent since midnight; the others count all."""

    pending: int
    #: When the oldest pending execution was accepted.
    oldest_at: datetime | None
    running: int
    waiting: int
    #: When the first waiting execution resumes automatically.
    next_at: datetime | None
    sent: int
    failed: int
    failed_at: datetime | None
    skipped: int
    #: The rule that skipped the most.
    skipped_mostly: Row | None = field(default=None)
    unknown: int = 0
    #: Of the waiting ones, those with a message in review.
    review: int = 0


def build_skipped_filters(midnight: datetime) -> ExecutionFilters:
    """Return the filters of the `skipped` count."""
    return ExecutionFilters(status="skipped", test=False, since=midnight)


def build_sent_filters(midnight: datetime) -> ExecutionFilters:
    """Return the filters of the `sent` count."""
    return ExecutionFilters(test=False, sent_since=midnight)


def fetch_summary(workspace_id: str, midnight: datetime) -> Summary:
    """Return the current counts, for the workspace's day that began at `midnight`."""
    with acting_as(workspace_id):
        pending = _count(workspace_id, PENDING, "min(e.created_at) at")
        running = _count(workspace_id, RUNNING)
        waiting = _count(workspace_id, WAITING, "min(e.due_at) at")
        review = _count(workspace_id, REVIEW)
        failed = _count(workspace_id, FAILED, "max(e.finished_at) at")
        unknown = _count(workspace_id, UNKNOWN)
        skipped = _count(workspace_id, build_skipped_filters(midnight))
        top_skip_rule = _find_top_skip_rule(workspace_id, build_skipped_filters(midnight)) if skipped["count"] else None
        sent = _count_sent(workspace_id, midnight)
    return Summary(
        pending["count"], pending["at"], running["count"], waiting["count"], waiting["at"], sent,
        failed["count"], failed["at"], skipped["count"], top_skip_rule, unknown["count"],
        review["count"],
    )  # fmt: skip


def _count(workspace_id: str, filters: ExecutionFilters, extra_column: str = "null at") -> Row:
    where, parameters = filters.build_where()
    row = fetch_row(
        f"select count(*) count, {extra_column} from executions e where e.workspace_id = %s and {where}",
        [workspace_id, *parameters],
    )
    assert row is not None
    return row


def _find_top_skip_rule(workspace_id: str, filters: ExecutionFilters) -> Row | None:
    where, parameters = filters.build_where()
    return fetch_row(
        f"select e.skipped_rule rule, count(*) count from executions e where e.workspace_id = %s and {where} "
        "group by 1 order by 2 desc, 1 limit 1",
        [workspace_id, *parameters],
    )


def _count_sent(workspace_id: str, midnight: datetime) -> int:
    row = fetch_row(
        "select count(*) count from (select distinct h.execution_id from stage_history h "
        "where h.workspace_id = %s and h.entered_at >= %s and h.stage = 'sent' and not h.test) sent",
        (workspace_id, midnight),
    )
    return int(row["count"]) if row else 0
