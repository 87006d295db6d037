"""The live monitor of one automation: the current stage of every contact, in one statement.

One statement sees one snapshot, so that the counts and the list cannot contradict each other. Executions in flight are
counted row by row. Those finished in the last 24 hours and the averages come from the tallies and, for the last minute
or two, from the stage history (`models.checks.rollups`). `models.reports.monitor_history` has past moments. Tests are
included unless filtered.

The statement is written by hand, because its plan depends on which parts are materialized or lateral: over a day with a
million moves it takes 19 ms in PostgreSQL, a third of it planning (docs/performance.md).
"""

from __future__ import annotations

from models.reports import monitor_snapshot
from models.reports.monitor_snapshot import Snapshot


def fetch_snapshot(workspace_id: str, automation_id: str, *, test: bool | None = None) -> Snapshot | None:
    """Return the automation's snapshot; None if there is no such automation. `test` selects only tests (True) or
    excludes them (False)."""
    return monitor_snapshot.fetch(workspace_id, automation_id, test, _SNAPSHOT)


#: A contact of a snapshot, from `bounds b`, `executions e`, `contacts c`, `workflow_versions v` and state `s`:
#: a `ContactRow`.
_CONTACT = """
    jsonb_build_object(
        'execution_id', e.id, 'contact_id', e.contact_id, 'test', e.test,
        'demo', coalesce(c.sample, false) and not e.test, 'status', e.status, 'stage', e.stage,
        'name', coalesce(nullif(trim(concat_ws(' ', c.first_name, c.last_name)), ''), c.username, c.email, c.phone,
            c.external_id),
        'stage_since', e.stage_since, 'created_at', e.created_at, 'finished_at', e.finished_at, 'due_at', e.due_at,
        'waiting_for', e.waiting_for, 'wait_event', e.wait_event, 'attempt', e.attempt,
        'next_retry_at', e.next_retry_at,
        'execution_time_ms', e.execution_time_ms,
        'error_class', e.error_class, 'error_message', s.error, 'skipped_rule', e.skipped_rule,
        'skipped_detail', e.skipped_detail, 'message', left(s.generated_message, 400), 'channel', s.channel,
        'generation_ms', s.generation_ms, 'scheduled_for', s.scheduled_for, 'next_check_at', s.next_check_at,
        'round', e.round, 'follow_up_count', s.follow_up_count,
        'silent', coalesce(e.status = 'running' and e.lease_until < b.at, false),
        'follow_up_max', coalesce((v.definition #>> '{rules,follow_ups,max}')::numeric::integer, 0)
    )
"""

#: The moves of the 24 hours before `bounds.at`, from tallies and history: `at`, `from_stage`, `stage`, `rule`, `words`,
#: `moves`, `from_ms`, `first_sent`. A tally's time is the middle of its five minutes.
_MOVES = """
    select t.at + interval '150 seconds' as at, t.from_stage, t.stage, t.rule, t.words, t.moves, t.from_ms, t.first_sent
    from bounds b join stage_tallies t on t.at >= b.since and t.at < b.edge
    where t.automation_id = %(automation)s and (%(test)s::boolean is null or t.test = %(test)s)
    union all
    select h.entered_at, h.from_stage, h.stage, coalesce(e.skipped_rule, ''), e.skipped_detail ->> 'words', 1,
        h.from_ms, (h.stage = 'sent' and not exists (
            select 1 from stage_history x
            where x.execution_id = h.execution_id and x.stage = 'sent' and x.entered_at < h.entered_at))::integer
    from bounds b join stage_history h on h.entered_at >= b.edge and h.entered_at <= b.until
    left join lateral (
        select skipped_rule, skipped_detail from executions x
        where h.stage = 'skipped' and x.id = h.execution_id offset 0
    ) e on true
    where h.automation_id = %(automation)s and (%(test)s::boolean is null or h.test = %(test)s)
"""
#: The count of each stage: `flight` and `failures` by rows, other finished executions by their moves.
_STAGE_COUNTS = """
    select stage, sum(count)::integer as count from (
        select stage, count(*) as count from flight group by 1
        union all select 'failed', count(*) from failures
        union all select stage, sum(moves) from moves where stage in ('completed', 'skipped') group by 1
    ) parts group by 1
"""
#: The recently finished executions, without failures.
_FINISHED = """
    select h.execution_id as id, h.stage, h.entered_at as at
    from bounds b join stage_history h on h.entered_at > b.since and h.entered_at <= b.until
    where h.automation_id = %(automation)s and h.stage in ('completed', 'skipped')
        and (%(test)s::boolean is null or h.test = %(test)s)
    order by 3 desc limit %(most)s
"""
#: A snapshot without its contacts, from `bounds`, `moves`, `flight`, `failures` and `counted`.
_NUMBERS = """
    b.at,
    jsonb_build_object('id', a.id, 'name', a.name, 'enabled', a.enabled, 'version', a.version,
        'paused', a.paused_at is not null) as automation,
    coalesce((select jsonb_object_agg(stage, count) from counted), '{}') as counts,
    coalesce((select jsonb_object_agg(from_stage, average) from (
        select from_stage, round(sum(from_ms) / sum(moves) / 1000, 3)::float8 as average from moves group by 1
    ) m), '{}') as averages,
    coalesce((select jsonb_object_agg(stage, points) from (
        select stage, jsonb_object_agg(point, count) as points from (
            select stage, floor(greatest(0, extract(epoch from b.at - entries.at)) / (60 * %(minutes)s))::integer
                as point, sum(entered) as count
            from (
                select stage, at, moves as entered from moves
                -- No move leads to queued: executions begin there, and leave it by their first move.
                union all select from_stage, at - from_ms / greatest(moves, 1) * interval '1 millisecond', moves
                    from moves where from_stage = 'queued'
                union all select stage, stage_since, 1 from flight where stage = 'queued'
            ) entries group by 1, 2
        ) p where point < %(points)s group by 1
    ) m), '{}') as trends,
    (select jsonb_build_object(
        'active', (select count(*) from flight),
        'last24_hours', (select count(*) from flight) + (select count(*) from failures)
            + coalesce(sum(moves) filter (where stage in ('completed', 'skipped')), 0),
        'sent', coalesce(sum(first_sent), 0),
        'skipped', coalesce(sum(moves) filter (
            where stage = 'skipped' and rule not in ('cancelled', 'discarded')), 0),
        'failed', (select count(*) from failures where not unknown),
        'unknown', (select count(*) from failures where unknown)) from moves) as totals,
    coalesce((select jsonb_agg(jsonb_build_object('rule', rule, 'count', count, 'words', words) order by count desc)
        from (select rule, sum(moves)::integer as count, (array_agg(words order by at desc))[1] as words
            from moves where stage = 'skipped' group by 1) m), '[]') as skipped,
    (select count(*) from flight where is_due) as backlog,
    (select jsonb_build_object('seconds', over, 'most_moves', coalesce(sum(moves), 0),
            'moves', coalesce(sum(moves) filter (where m.at > b.at - make_interval(secs => over)), 0))
        from (select coalesce(least(%(pace_most)s, greatest(%(pace_least)s,
                extract(epoch from b.at - min(waits_since)))), %(pace_most)s)::float8 as over
            from flight where is_due) stretch
        left join moves m on m.at > b.at - make_interval(secs => %(pace_most)s)
            and from_stage not in ('sent', 'failed') and stage in ('sent', 'completed', 'failed', 'skipped')
        group by over) as pace
"""

#: The parts that the statements of the present and of the past share, by their places in the statement.
PARTS = {
    "contact": _CONTACT,
    "moves": _MOVES,
    "stage_counts": _STAGE_COUNTS,
    "finished": _FINISHED,
    "numbers": _NUMBERS,
}

_STATEMENT = """
with bounds as materialized (
    select beckon_now() as at, beckon_now() - interval '24 hours' as since, 'infinity'::timestamptz as until,
        greatest(coalesce((select until from tallied), '-infinity'), beckon_now() - interval '24 hours') as edge
), moves as materialized ({moves}), flight as materialized (
    select e.id, e.status, e.stage, e.stage_since, e.due_at,
        e.status <> 'waiting' or e.due_at <= beckon_now() as is_due,
        case when e.status = 'waiting' then e.due_at else e.stage_since end as waits_since
    from executions e
    where e.automation_id = %(automation)s and e.status in ('pending', 'running', 'waiting') and e.finished_at is null
        and (%(test)s::boolean is null or e.test = %(test)s)
), failures as materialized (
    select e.id, e.finished_at as at, e.error_class = 'unknown_outcome' as unknown
    from bounds b join executions e on e.finished_at > b.since
    where e.automation_id = %(automation)s and e.status = 'failed'
        and (%(test)s::boolean is null or e.test = %(test)s)
), counted as materialized ({stage_counts}), moving as (
    select f.id, row_number() over (order by f.status = 'running' desc,
        case when f.status = 'running' then f.stage_since end desc, f.due_at, f.id) as place
    from flight f order by 2 limit %(most)s - (select least(count(*), %(failures)s) from failures)
), rested as (
    (select id, at, true as failed from failures order by 2 desc limit %(failures)s)
    union all (select id, at, false from ({finished}) r)
), listed as materialized (
    -- Active executions, then finished ones by time; failures always have room.
    select id, place from moving
    union all select id, place from (
        select r.id, %(most)s + row_number() over (order by r.at desc) as place,
            row_number() over (order by r.failed desc, r.at desc) as urgency
        from rested r
    ) ranked where urgency <= %(most)s - (select count(*) from moving)
)
select {numbers}, coalesce((select jsonb_agg({contact} order by listed.place)
    from listed join executions e on e.id = listed.id
    join automation_contact_states s on s.execution_id = e.id
    left join contacts c on c.id = e.contact_id left join workflow_versions v on v.id = e.version_id
), '[]') as contacts
from automations a cross join bounds b
where a.id = %(automation)s and a.workspace_id = %(workspace)s and a.deleted_at is null
"""
_SNAPSHOT = _STATEMENT.format(**PARTS)
