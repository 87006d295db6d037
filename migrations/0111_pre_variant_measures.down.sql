set local role beckon_service;
delete from analytics_tallies where subject = 'messages' and dimension = 'variant' and status not in ('sent', 'replied');
delete from analytics_changes where subject = 'messages' and dimension = 'variant' and status not in ('sent', 'replied');
set local role none;

create or replace function message_counts(sent_at timestamptz, status text) returns text[] language sql immutable parallel safe as $$
    select case when sent_at is null then '{}'
        when status in ('delivered', 'complained') then '{sent,delivered}'
        when status = 'read' then '{sent,delivered,opened}'
        else '{sent}' end::text[]
$$;

create or replace function tally_messages(changes jsonb) returns void language sql as $$
    with change as (
        select * from jsonb_to_recordset(changes) as c (
            workspace_id uuid, execution_id uuid, automation_id uuid, channel text, sent_at timestamptz, kind text, count integer)
    )
    insert into analytics_changes
    select workspace_id, tally_slot(sent_at), 'messages', 'channel', automation_id, false, channel, kind, -1, sum(count)
    from change group by 1, 2, 5, 7, 8 having sum(count) <> 0
    union all
    select c.workspace_id, tally_slot(c.sent_at), 'messages', 'variant', c.automation_id, false,
        s.step_id || ':' || (s.output ->> 'taken'), c.kind, -1, sum(c.count)
    from change c
    join steps s on s.execution_id = c.execution_id and s.action = 'split' and s.finished_at <= c.sent_at
        and s.output ->> 'taken' is not null
    where c.kind in ('sent', 'replied')
    group by 1, 2, 5, 7, 8 having sum(c.count) <> 0
$$;

create or replace function tally_new_messages() returns trigger language plpgsql as $$
declare
    changes jsonb;
begin
    select jsonb_agg(jsonb_build_object('workspace_id', n.workspace_id, 'execution_id', n.execution_id,
        'automation_id', n.automation_id, 'channel', n.channel, 'sent_at', n.sent_at, 'kind', k.kind, 'count', 1))
    from new_rows n cross join lateral unnest(message_counts(n.sent_at, n.status)) k (kind)
    where n.sent_at is not null and not n.test into changes;
    if changes is not null then
        perform tally_messages(changes);
    end if;
    return null;
end
$$;

create or replace function tally_changed_messages() returns trigger language plpgsql as $$
begin
    if not exists (select from new_rows where sent_at is not null and not test) then
        return null;
    end if;
    insert into analytics_changes
    with change as materialized (
        select c.workspace_id, c.execution_id, c.automation_id, c.channel, c.sent_at, k.kind, sum(c.count) as count
        from (
            select workspace_id, execution_id, automation_id, channel, sent_at, status, -1 as count from old_rows
            where sent_at is not null and not test
            union all
            select workspace_id, execution_id, automation_id, channel, sent_at, status, 1 from new_rows
            where sent_at is not null and not test
        ) c cross join lateral unnest(message_counts(c.sent_at, c.status)) k (kind)
        group by 1, 2, 3, 4, 5, 6 having sum(c.count) <> 0
    )
    select workspace_id, tally_slot(sent_at), 'messages', 'channel', automation_id, false, channel, kind, -1, sum(count)
    from change group by 1, 2, 5, 7, 8
    union all
    select c.workspace_id, tally_slot(c.sent_at), 'messages', 'variant', c.automation_id, false,
        s.step_id || ':' || (s.output ->> 'taken'), c.kind, -1, sum(c.count)
    from change c
    join steps s on s.execution_id = c.execution_id and s.action = 'split' and s.finished_at <= c.sent_at
        and s.output ->> 'taken' is not null
    where c.kind = 'sent'
    group by 1, 2, 5, 7, 8;
    return null;
end
$$;

create or replace function recount_analytics() returns void language plpgsql as $$
begin
    lock table executions, steps, messages, message_responses, workflow_executions, analytics_events
        in share row exclusive mode;
    delete from analytics_tallies;
    delete from analytics_changes;
    insert into analytics_changes
    select e.workspace_id, tally_slot(e.created_at), 'executions', 'trigger', e.automation_id, false,
        coalesce(t.type, ''), tally_status(e.status, e.error_class),
        case when e.status = 'succeeded' then time_bucket(coalesce(s.ms, e.execution_time_ms)) else -1 end, count(*)
    from executions e
    left join triggers t on t.id = e.trigger_id
    left join (
        select execution_id, sum(execution_time_ms)::bigint as ms from steps where action not in ('wait', 'wait_until')
        group by 1
    ) s on s.execution_id = e.id
    where not e.test group by 1, 2, 5, 7, 8, 9;
    insert into analytics_changes
    select workspace_id, tally_slot(created_at), 'executions', 'error', automation_id, false,
        tally_error(provider, error_class, error_code), 'failed', -1, count(*)
    from executions where not test and tally_status(status, error_class) = 'failed' group by 1, 2, 5, 7;
    insert into analytics_changes
    select e.workspace_id, tally_slot(e.created_at), 'steps', d.dimension, e.automation_id, false, d.value, d.status,
        d.bucket, count(*)
    from steps n join executions e on e.id = n.execution_id and not e.test
    cross join lateral (values ('step', n.step_id, 'entered', -1::smallint), ('step', n.step_id, n.status, -1::smallint),
        ('action', n.action, n.status,
            time_bucket(case when n.status in ('succeeded', 'failed') then n.execution_time_ms end)))
        d (dimension, value, status, bucket)
    where d.status in ('entered', 'succeeded', 'failed', 'skipped') and (n.round = 0 or d.dimension = 'action')
    group by 1, 2, 4, 5, 7, 8, 9;
    insert into analytics_changes
    with change as (
        select m.workspace_id, m.execution_id, m.automation_id, m.channel, m.sent_at, k.kind
        from messages m cross join lateral (
            select unnest(message_counts(m.sent_at, m.status)) as kind
            union all select r.kind from message_responses r where r.message_id = m.id
        ) k
        where m.sent_at is not null and not m.test
    )
    select workspace_id, tally_slot(sent_at), 'messages', 'channel', automation_id, false, channel, kind, -1, count(*)
    from change group by 1, 2, 5, 7, 8
    union all
    select c.workspace_id, tally_slot(c.sent_at), 'messages', 'variant', c.automation_id, false,
        s.step_id || ':' || (s.output ->> 'taken'), c.kind, -1, count(*)
    from change c
    join steps s on s.execution_id = c.execution_id and s.action = 'split' and s.finished_at <= c.sent_at
        and s.output ->> 'taken' is not null
    where c.kind in ('sent', 'replied')
    group by 1, 2, 5, 7, 8;
    insert into analytics_changes
    select n.workspace_id, tally_slot(n.executed_at), 'executions', d.dimension, n.workflow_id, true,
        case when d.dimension = 'page' then tally_page(d.value) else left(d.value, 200) end,
        case n.status when 'success' then 'succeeded' when 'error' then 'failed' else 'timed_out' end,
        case when n.status = 'success' and d.dimension <> 'page' then time_bucket(n.execution_time_ms) else -1 end,
        count(*)
    from workflow_executions n
    cross join lateral (values ('trigger', coalesce(n.trigger_name, '')), ('device', coalesce(n.device_type, '')),
        ('page', coalesce(n.page_path, ''))) d (dimension, value)
    group by 1, 2, 4, 5, 7, 8, 9;
    insert into analytics_changes
    select workspace_id, tally_slot(occurred_at), 'steps', 'action', workflow_id, true, left(coalesce(name, ''), 200),
        case when error is null then 'succeeded' else 'failed' end, time_bucket(execution_time_ms), count(*)
    from analytics_events where event_type = 'action' group by 1, 2, 5, 7, 8, 9;
end
$$;

drop function variant_counts(text, text);
