"""Executions with a message sent in a period: by interval of time, and of the automations that sent the most.

The statement is written by hand, because one scan of the index of sent moves (`stage_history_sent`, which has every
column that it reads) must serve all its parts. Its cost is that of the period's moves, whatever the tables hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypedDict

from models.database import acting_as
from models.queries import fetch
from models.recent_reads import SlowReads


class _Row(TypedDict):
    automation_id: str | None
    at: datetime | None
    count: int


@dataclass
class Sent:
    """Numbers of executions: in all, by the start of each interval, and by automation, most first. An execution that
    sends in two intervals counts in both, and once in the total."""

    total: int = 0
    by_interval: dict[datetime, int] = field(default_factory=dict)
    by_automation: dict[str, int] = field(default_factory=dict)
    by_automation_and_interval: dict[str, dict[datetime, int]] = field(default_factory=dict)


_STATEMENT = """
    with sent as materialized (
        select automation_id, execution_id, date_bin(%(step)s, entered_at, 'epoch') as at
        from stage_history
        where workspace_id = %(workspace)s and stage = 'sent' and not test and entered_at >= %(since)s
        group by 1, 2, 3
    ), busiest as materialized (
        select automation_id, count(distinct execution_id) as count from sent group by 1 order by 2 desc, 1
        limit %(busiest)s
    )
    select null::uuid as automation_id, null::timestamptz as at, count(distinct execution_id) as count from sent
    union all select null, at, count(*) from sent group by at
    union all select automation_id, null, count from busiest
    union all select automation_id, at, count(*) from sent join busiest b using (automation_id) group by 1, 2
"""


_slow_reads: SlowReads[Sent] = SlowReads()


def fetch_sent(workspace_id: str, since: datetime, step: timedelta, busiest: int) -> Sent:
    """Return the executions with a message sent since a moment, in intervals of `step`, with the `busiest` automations.
    Tests are not counted. Where counting takes long, the result may be some seconds old."""
    key = (workspace_id, since, step, busiest)
    return _slow_reads.get(key, lambda: _fetch_current(workspace_id, since, step, busiest))


def _fetch_current(workspace_id: str, since: datetime, step: timedelta, busiest: int) -> Sent:
    values = {"workspace": workspace_id, "since": since, "step": step, "busiest": busiest}
    with acting_as(workspace_id):
        rows = fetch(_Row, _STATEMENT, values)
    sent = Sent()
    for row in rows:
        _add(sent, row)
    sent.by_automation = dict(sorted(sent.by_automation.items(), key=lambda item: (-item[1], item[0])))
    return sent


def _add(sent: Sent, row: _Row) -> None:
    automation_id, at, count = row["automation_id"], row["at"], row["count"]
    if automation_id is None and at is None:
        sent.total = count
    elif automation_id is None and at is not None:
        sent.by_interval[at] = count
    elif automation_id is not None and at is None:
        sent.by_automation[automation_id] = count
    elif automation_id is not None and at is not None:
        sent.by_automation_and_interval.setdefault(automation_id, {})[at] = count
