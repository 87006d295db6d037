"""The live monitor of one automation: the current stage of every contact, in one statement.

One statement sees one snapshot, so that the counts and the list cannot contradict each other. Executions in flight are
counted row by row. Those finished in the last 24 hours and the averages come from the tallies and, for the last minute
or two, from the stage history (`models.checks.rollups`). `models.reports.monitor_history` has past moments. Tests are
included unless filtered.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from models.database import Row, acting_as, fetch_row
from rules.stages import STAGES

#: Contacts in one snapshot at most, and the failed ones listed however many others are in flight.
MAX_CONTACTS = 100
MAX_FAILURES = 20
#: The trend of a stage: the number of points, and the minutes of each.
TREND_POINTS = 24
TREND_MINUTES = 15
#: The pace of the backlog is measured since its oldest contact became due, over at least and at most these seconds.
MIN_PACE_SECONDS, MAX_PACE_SECONDS = 10, 600

_TIME_FIELDS = ("stage_since", "due_at", "next_retry_at", "next_check_at", "scheduled_for", "created_at", "finished_at")


def fetch_snapshot(workspace_id: str, automation_id: str, *, test: bool | None = None) -> Row | None:
    """Return `at`, `automation`, `stages` (the ten in order, each with `count`, `average_seconds` and `trend`),
    `contacts` (at most 100, active ones first), `totals`, `skipped` by rule, and `backlog`; None if there is no such
    automation. `test` selects only tests (True) or excludes them (False)."""
    return run_snapshot_query(workspace_id, _SNAPSHOT, automation=automation_id, test=test)


def run_snapshot_query(workspace_id: str, statement: str, **parameters: Any) -> Row | None:
    """Run a statement built from the parts below; return its snapshot."""
    bounds = {
        "most": MAX_CONTACTS, "failures": MAX_FAILURES, "points": TREND_POINTS, "minutes": TREND_MINUTES,
        "pace_least": MIN_PACE_SECONDS, "pace_most": MAX_PACE_SECONDS,
    }  # fmt: skip
    with acting_as(workspace_id):
        row = fetch_row(statement, {**bounds, "workspace": workspace_id, **parameters})
    if row is None:
        return None
    return {
        "at": row["at"],
        "automation": row["automation"],
        "stages": _build_stages(row["counts"], row["averages"], row["trends"]),
        "contacts": [_parse_times(contact) for contact in row["contacts"]],
        "totals": row["totals"],
        "skipped": row["skipped"],
        "backlog": _build_backlog(row["backlog"], row["pace"]),
    }


def _build_stages(counts: Mapping[str, int], averages: Mapping[str, float], trends: Mapping[str, Any]) -> list[Row]:
    """Return the ten stages in order, each with a trend from the oldest point to the newest."""
    return [
        {
            "stage": stage,
            "count": counts.get(stage, 0),
            "average_seconds": averages.get(stage),
            "trend": [int(trends.get(stage, {}).get(str(point), 0)) for point in range(TREND_POINTS - 1, -1, -1)],
        }
        for stage in STAGES
    ]


def _parse_times(contact: Row) -> Row:
    """Convert the times of a contact from PostgreSQL's JSON to datetimes."""
    for name in _TIME_FIELDS:
        if contact.get(name) is not None:
            contact[name] = datetime.fromisoformat(contact[name])
    return contact


def _build_backlog(count: int, pace: Mapping[str, float]) -> Row:
    """Return the backlog's count, the recent rate a minute, the seconds over which it was measured, and the seconds
    until the backlog is empty at that rate: None if nothing moved."""
    moves, seconds = (pace["moves"], pace["seconds"]) if pace["moves"] else (pace["most_moves"], MAX_PACE_SECONDS)
    per_minute = 60 * moves / seconds
    return {
        "count": count,
        "a_minute": round(per_minute, 2),
        "measured_seconds": round(seconds),
        "seconds": round(60 * count / per_minute, 1) if count and moves else None,
    }


#: A contact of a snapshot, from `bounds b`, `executions e`, `contacts c`, `workflow_versions v` and state `s`. It is
#: `silent` if its worker's lease has expired.
CONTACT = """
    jsonb_build_object(
        'execution_id', e.id, 'contact_id', e.contact_id, 'test', e.test, 'status', e.status, 'stage', e.stage,
        'name', coalesce(nullif(trim(concat_ws(' ', c.first_name, c.last_name)), ''), c.username, c.email, c.phone,
            c.external_id),
        'stage_since', e.stage_since, 'created_at', e.created_at, 'finished_at', e.finished_at, 'due_at', e.due_at,
        'waiting_for', e.waiting_for, 'attempt', e.attempt, 'next_retry_at', e.next_retry_at,
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
MOVES = """
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
STAGE_COUNTS = """
    select stage, sum(count)::integer as count from (
        select stage, count(*) as count from flight group by 1
        union all select 'failed', count(*) from failures
        union all select stage, sum(moves) from moves where stage in ('completed', 'skipped') group by 1
    ) parts group by 1
"""
#: The recently finished executions, without failures.
FINISHED = """
    select h.execution_id as id, h.stage, h.entered_at as at
    from bounds b join stage_history h on h.entered_at > b.since and h.entered_at <= b.until
    where h.automation_id = %(automation)s and h.stage in ('completed', 'skipped')
        and (%(test)s::boolean is null or h.test = %(test)s)
    order by 3 desc limit %(most)s
"""
#: A snapshot without its contacts, from `bounds`, `moves`, `flight`, `failures` and `counted`.
NUMBERS = """
    b.at,
    jsonb_build_object('id', a.id, 'name', a.name, 'enabled', a.enabled, 'version', a.version,
        'paused', a.paused_at is not null) as automation,
    coalesce((select jsonb_object_agg(stage, count) from counted), '{}') as counts,
    coalesce((select jsonb_object_agg(from_stage, average) from (
        select from_stage, round(sum(from_ms) / sum(moves) / 1000, 3)::float8 as average from moves group by 1
    ) m), '{}') as averages,
    coalesce((select jsonb_object_agg(stage, points) from (
        select stage, jsonb_object_agg(point, count) as points from (
            select stage, floor(greatest(0, extract(epoch from b.at - m.at)) / (60 * %(minutes)s))::integer as point,
                sum(moves) as count
            from moves m group by 1, 2
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

_SNAPSHOT = f"""
with bounds as materialized (
    select beckon_now() as at, beckon_now() - interval '24 hours' as since, 'infinity'::timestamptz as until,
        greatest(coalesce((select until from tallied), '-infinity'), beckon_now() - interval '24 hours') as edge
), moves as materialized ({MOVES}), flight as materialized (
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
), counted as materialized ({STAGE_COUNTS}), moving as (
    select f.id, row_number() over (order by f.status = 'running' desc,
        case when f.status = 'running' then f.stage_since end desc, f.due_at, f.id) as place
    from flight f order by 2 limit %(most)s - (select least(count(*), %(failures)s) from failures)
), rested as (
    (select id, at, true as failed from failures order by 2 desc limit %(failures)s)
    union all (select id, at, false from ({FINISHED}) r)
), listed as materialized (
    -- Active executions, then finished ones by time; failures always have room.
    select id, place from moving
    union all select id, place from (
        select r.id, {MAX_CONTACTS} + row_number() over (order by r.at desc) as place,
            row_number() over (order by r.failed desc, r.at desc) as urgency
        from rested r
    ) ranked where urgency <= %(most)s - (select count(*) from moving)
)
select {NUMBERS}, coalesce((select jsonb_agg({CONTACT} order by listed.place)
    from listed join executions e on e.id = listed.id
    join automation_contact_states s on s.execution_id = e.id
    left join contacts c on c.id = e.contact_id left join workflow_versions v on v.id = e.version_id
), '[]') as contacts
from automations a cross join bounds b
where a.id = %(automation)s and a.workspace_id = %(workspace)s and a.deleted_at is null
"""
