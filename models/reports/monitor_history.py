"""The monitor at a past moment of the last six hours, reconstructed from the stage history.

An execution's stage at that moment follows from its next move, whose row has the stage that it left and how long it
lasted. An execution without a later move is still in that stage. Later changes of messages and errors are excluded.

The statement is written by hand, as that of `models.reports.monitor` is, and shares its parts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from models.reports import monitor_snapshot
from models.reports.monitor import PARTS
from models.reports.monitor_snapshot import Snapshot

#: How far back the monitor reaches.
MAX_LOOKBACK = timedelta(hours=6)


def fetch_snapshot(workspace_id: str, automation_id: str, at: datetime, *, test: bool | None = None) -> Snapshot | None:
    """Return the snapshot of `models.reports.monitor.fetch_snapshot` at the moment `at`, without due times."""
    return monitor_snapshot.fetch(workspace_id, automation_id, test, _SNAPSHOT, at=at)


# Durations are stored in whole milliseconds, so a stage may seem to start a millisecond late.
_STATEMENT = """
with bounds as materialized (
    select w.at, w.at - interval '24 hours' as since, w.at as until,
        greatest(w.at - interval '24 hours', case when w.tallied <= w.at then w.tallied
            else date_bin('5 minutes', w.at, 'epoch') end) as edge
    from (select %(at)s::timestamptz as at, coalesce((select until from tallied), '-infinity') as tallied) w
), moves as materialized ({moves}), standing as materialized (
    select distinct on (id) * from (
        select h.execution_id as id, h.from_stage as stage, h.entered_at - h.from_ms * interval '1 millisecond' as since
        from bounds b join stage_history h on h.entered_at > b.at
        where h.automation_id = %(automation)s and (%(test)s::boolean is null or h.test = %(test)s)
            and h.entered_at - h.from_ms * interval '1 millisecond' <= b.at + interval '2 milliseconds'
        union all
        select e.id, e.stage, e.stage_since from bounds b join executions e on e.stage_since <= b.at
        where e.automation_id = %(automation)s and (%(test)s::boolean is null or e.test = %(test)s)
            and (e.status in ('pending', 'running', 'waiting') and e.finished_at is null
                or e.status = 'failed' and e.finished_at > b.since)
    ) stays order by id, since
), flight as materialized (
    select id, stage, since, since as stage_since, false as is_due, null::timestamptz as waits_since
    from standing where stage <> 'failed'
), failures as materialized (
    select s.id, s.since as at, e.error_class is not distinct from 'unknown_outcome' as unknown
    from standing s join executions e on e.id = s.id where s.stage = 'failed'
), counted as materialized ({stage_counts}), listed as materialized (
    select id, stage, since, row_number() over (order by kind, since desc, id) as place from (
        select id, stage, since, 0 as kind from flight
        union all select id, 'failed', at, 1 from failures
        union all select id, stage, at, 1 from ({finished}) r
    ) entries order by kind, since desc, id limit %(most)s
)
select {numbers}, coalesce((select jsonb_agg({contact} || jsonb_build_object(
        'status', null, 'stage', p.stage, 'stage_since', p.since, 'due_at', null, 'waiting_for', null,
        'next_retry_at', null, 'silent', false, 'scheduled_for', null, 'next_check_at', null, 'finished_at', null,
        'error_message', case when p.stage = 'failed' and e.stage = 'failed' then s.error end,
        'error_class', case when p.stage = 'failed' then coalesce(e.error_class, '') end,
        'skipped_rule', case when p.stage = 'skipped' then e.skipped_rule end,
        'message', case when s.written_at <= b.at then left(s.generated_message, 400) end,
        'generation_ms', case when s.written_at <= b.at then s.generation_ms end
    ) order by p.place)
    from listed p join executions e on e.id = p.id
    join lateral (
        select m.body as generated_message, m.generation_ms, m.channel, m.created_at as written_at,
            e.error_message as error, e.follow_up_count, null::timestamptz as scheduled_for,
            null::timestamptz as next_check_at
        from (select 1) single_row left join messages m on m.id = (
            select x.id from messages x where x.execution_id = e.id and x.created_at <= b.at
            order by x.round desc, x.id desc limit 1)
    ) s on true
    left join contacts c on c.id = e.contact_id left join workflow_versions v on v.id = e.version_id
), '[]') as contacts
from automations a cross join bounds b
where a.id = %(automation)s and a.workspace_id = %(workspace)s and a.deleted_at is null
"""
_SNAPSHOT = _STATEMENT.format(**PARTS)
