"""Tallies of the stage history: moves and times in stages by five minutes, so that a day of a million moves sums up
from a few thousand rows.

The scheduler writes them from the stage history. A reader adds the moves after the tallies' end from the history itself
(`models.reports.monitor`): a stopped scheduler makes the monitor slower, never wrong.

Two statements are written by hand. `_TALLY` fixes the plan of the only query that reads all moves; `_BOUNDS`
computes the next interval from PostgreSQL's clock and locks the progress in one round trip.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TypedDict

from peewee import fn

from models.database import transaction
from models.expressions import now
from models.queries import execute, fetch
from models.tables import StageTally, TallyProgress

#: Younger moves are not tallied: their records may still be uncommitted.
LAG_SECONDS = 30
#: A move may be recorded this much later than it happened, because the group commit waits that long for PostgreSQL:
#: every run tallies this period again.
MAX_DELAY_SECONDS = 150
#: The monitor shows 24 hours, up to six hours back; nothing reads older tallies.
KEEP_HOURS = 31
#: Minutes tallied in one transaction, so that a busy day after an outage fits the statement timeout.
SLICE_MINUTES = 60

_BOUNDS = """
    select since, least(since + make_interval(mins => %(slice)s), latest) as until,
        since + make_interval(mins => %(slice)s) >= latest as complete
    from (
        select date_bin('5 minutes', greatest(until - make_interval(secs => %(delay)s),
                beckon_now() - make_interval(hours => %(keep)s)), 'epoch') as since,
            beckon_now() - make_interval(secs => %(lag)s) as latest
        from tallied for update
    ) open
"""
_LIMITS = {"slice": SLICE_MINUTES, "delay": MAX_DELAY_SECONDS, "keep": KEEP_HOURS, "lag": LAG_SECONDS}


class _BoundsRow(TypedDict):
    since: datetime
    until: datetime
    complete: bool


def run_once() -> dict[str, int]:
    """Tally the moves since the last run; return how many rows were written and removed."""
    tallied, complete = 0, False
    while not complete:
        written, complete = _tally_slice()
        tallied += written
    with transaction():
        removed = execute(StageTally.delete().where(StageTally.at < now() - timedelta(hours=KEEP_HOURS)))
    return {"tallied": tallied, "removed": removed}


def _tally_slice() -> tuple[int, bool]:
    """Tally the oldest pending hour; return how many rows were written, and whether nothing is left."""
    with transaction():
        # Serialized: two schedulers at the same time could deadlock.
        execute(TallyProgress.insert(until="-infinity").on_conflict_ignore())
        (bounds,) = fetch(_BoundsRow, _BOUNDS, _LIMITS)
        written = execute(_TALLY, {"since": bounds["since"], "until": bounds["until"]})
        execute(TallyProgress.update(until=fn.greatest(TallyProgress.until, bounds["until"])))
    return written, bounds["complete"]


#: By automation, because the history's index starts with it. Skipped executions are read one by one (`offset 0` forces
#: it), so that no plan reads all executions for a few of them.
_TALLY = """
    insert into stage_tallies (
        workspace_id, automation_id, at, test, from_stage, stage, rule, words, moves, from_ms, first_sent)
    select a.workspace_id, a.id, date_bin('5 minutes', h.entered_at, 'epoch'), h.test, h.from_stage, h.stage,
        coalesce(e.skipped_rule, ''), max(e.skipped_detail ->> 'words'), count(*), sum(h.from_ms),
        count(*) filter (where h.stage = 'sent' and not exists (
            select 1 from stage_history b
            where b.execution_id = h.execution_id and b.stage = 'sent' and b.entered_at < h.entered_at))
    from automations a
    cross join lateral (
        select * from stage_history s
        where s.automation_id = a.id and s.entered_at >= %(since)s and s.entered_at < %(until)s
    ) h
    left join lateral (
        select skipped_rule, skipped_detail from executions x
        where h.stage = 'skipped' and x.id = h.execution_id offset 0
    ) e on true
    group by 1, 2, 3, 4, 5, 6, 7
    on conflict (automation_id, at, test, from_stage, stage, rule) do update set
        words = excluded.words, moves = excluded.moves, from_ms = excluded.from_ms, first_sent = excluded.first_sent
"""
