"""Statistics of retries and their outcomes."""

from __future__ import annotations

from typing import Any

from models.database import acting_as, fetch_row, fetch_rows
from rules.retries import MAX_RETRIES

#: The period of the statistics.
DAYS = 30

# Real executions of the last days.
_RECENT = """
    from executions e where e.workspace_id = %s and not e.test
        and e.created_at >= beckon_now() - make_interval(days => %s)
"""


def fetch_statistics(workspace_id: str) -> dict[str, Any]:
    """Return statistics of the last 30 days' executions, without tests: `attempted` (retried at least once), of these
    `succeeded`, `failed` and `exhausted` (failed with every retry used), `pending` (waiting for a retry),
    `success_rate` (0 to 1 of those finished; None without any), and `by_error_class`, the failed attempts of steps."""
    with acting_as(workspace_id):
        counts = fetch_row(
            f"""
            select count(*) filter (where e.attempt > 1) attempted,
                count(*) filter (where e.attempt > 1 and e.status = 'succeeded') succeeded,
                count(*) filter (where e.attempt > 1 and e.status = 'failed') failed,
                count(*) filter (where e.attempt > %s and e.status = 'failed') exhausted,
                count(*) filter (where e.status = 'waiting' and e.waiting_for = 'retry') pending
            {_RECENT}
            """,
            (MAX_RETRIES, workspace_id, DAYS),
        )
        classes = fetch_rows(
            f"""
            select failure ->> 'class' error_class, count(*) tries,
                count(distinct (s.execution_id, s.step_id)) filter (where s.status = 'succeeded') recovered
            from steps s, jsonb_array_elements(s.failures) failure
            where s.failures <> '[]' and s.execution_id in (select e.id {_RECENT})
            group by 1 order by 2 desc
            """,
            (workspace_id, DAYS),
        )
    assert counts is not None
    ended = counts["succeeded"] + counts["failed"]
    return {
        **counts,
        "success_rate": round(counts["succeeded"] / ended, 4) if ended else None,
        "by_error_class": {
            row["error_class"]: {"tries": row["tries"], "recovered": row["recovered"]} for row in classes
        },
    }
