"""Tallies of the stage history: moves and times in stages by five minutes, so that a day of a million moves is added up
from a few thousand rows.

The scheduler writes them from what the engine wrote anyway. Whoever reads them adds what is younger than the moment
until which they are complete from the history itself (`models/reports/monitor`): a scheduler that stands still makes
the monitor slower, never wrong.
"""

from __future__ import annotations

from models.database import execute, fetch_row, transaction

#: What is younger is left to the history: its records may still be on their way to the disk.
LAG_SECONDS = 30
#: A move may be recorded this much later than it happened (the ledger waits so long for PostgreSQL): what is this young
#: is tallied anew by every run.
MAX_DELAY_SECONDS = 150
#: Nothing older is asked for: the monitor shows 24 hours, and those of six hours ago.
KEEP_HOURS = 31
#: Tallied in one transaction at most, so that a busy day after a standstill is not too long for one statement.
SLICE_MINUTES = 60


def run_once() -> dict[str, int]:
    """Tally what happened since the last run; how many rows were written and removed."""
    tallied, complete = 0, False
    while not complete:
        written, complete = _tally_slice()
        tallied += written
    with transaction():
        removed = execute(
            "delete from stage_tallies where at < beckon_now() - make_interval(hours => %s)", (KEEP_HOURS,)
        )
    return {"tallied": tallied, "removed": removed}


def _tally_slice() -> tuple[int, bool]:
    """Tally the oldest hour that is not tallied yet; how many rows were written, and whether nothing is left."""
    with transaction():
        # One at a time: two schedulers for a moment would wait for each other in a ring.
        execute("insert into tallied (until) values ('-infinity') on conflict (one) do nothing")
        bounds = fetch_row(
            """
            select since, least(since + make_interval(mins => %s), latest) as until,
                since + make_interval(mins => %s) >= latest as complete
            from (
                select date_bin('5 minutes', greatest(until - make_interval(secs => %s),
                        beckon_now() - make_interval(hours => %s)), 'epoch') as since,
                    beckon_now() - make_interval(secs => %s) as latest
                from tallied for update
            ) open
            """,
            (SLICE_MINUTES, SLICE_MINUTES, MAX_DELAY_SECONDS, KEEP_HOURS, LAG_SECONDS),
        )
        assert bounds is not None
        written = execute(_TALLY, bounds)
        execute("update tallied set until = greatest(until, %s)", (bounds["until"],))
    return written, bool(bounds["complete"])


#: Automation by automation, because that is how the history's index begins; and the skipped one by one (the offset
#: keeps it so), because no plan shall read all executions for a few of them.
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
