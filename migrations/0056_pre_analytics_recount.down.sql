drop function recount_analytics();
create or replace function tally_changed_execution() returns trigger language plpgsql as $$
begin
    insert into analytics_changes
    select new.workspace_id, tally_slot(new.created_at), 'executions', 'trigger', new.automation_id, false,
        coalesce((select type from triggers where id = new.trigger_id), ''), c.status,
        case when c.status = 'succeeded' then time_bucket(work_ms(new.id, c.ms)) else -1 end, c.count
    from (values (tally_status(old.status, old.error_class), old.execution_time_ms, -1),
        (tally_status(new.status, new.error_class), new.execution_time_ms, 1)) c (status, ms, count)
    union all
    select new.workspace_id, tally_slot(new.created_at), 'executions', 'error', new.automation_id, false, c.error,
        'failed', -1, c.count
    from (values
        (tally_status(old.status, old.error_class), tally_error(old.provider, old.error_class, old.error_code), -1),
        (tally_status(new.status, new.error_class), tally_error(new.provider, new.error_class, new.error_code), 1)
    ) c (status, error, count)
    where c.status = 'failed';
    return null;
end
$$;

create or replace function tally_new_steps() returns trigger language plpgsql as $$
begin
    insert into analytics_changes
    select e.workspace_id, tally_slot(e.created_at), 'steps', d.dimension, e.automation_id, false, d.value, n.status,
        d.bucket, count(*)
    from new_rows n join executions e on e.id = n.execution_id and not e.test
    cross join lateral (values ('step', n.step_id, -1::smallint),
        ('action', n.action, time_bucket(case when n.status in ('succeeded', 'failed') then n.execution_time_ms end)))
        d (dimension, value, bucket)
    where n.round = 0 or d.dimension = 'action'
    group by 1, 2, 4, 5, 7, 8, 9;
    return null;
end
$$;

create or replace function tally_changed_steps() returns trigger language plpgsql as $$
begin
    insert into analytics_changes
    select e.workspace_id, tally_slot(e.created_at), 'steps', d.dimension, e.automation_id, false, d.value, d.status,
        d.bucket, sum(d.count)
    from new_rows n
    join old_rows o on (o.execution_id, o.step_id, o.round) = (n.execution_id, n.step_id, n.round)
        and (o.status, o.execution_time_ms) is distinct from (n.status, n.execution_time_ms)
    join executions e on e.id = n.execution_id and not e.test
    cross join lateral (values ('step', n.step_id, o.status, -1::smallint, -1), ('step', n.step_id, n.status, -1::smallint, 1),
        ('action', o.action, o.status,
            time_bucket(case when o.status in ('succeeded', 'failed') then o.execution_time_ms end), -1),
        ('action', n.action, n.status,
            time_bucket(case when n.status in ('succeeded', 'failed') then n.execution_time_ms end), 1))
        d (dimension, value, status, bucket, count)
    where n.round = 0 or d.dimension = 'action'
    group by 1, 2, 4, 5, 7, 8, 9 having sum(d.count) <> 0;
    return null;
end
$$;

create or replace function tally_changed_messages() returns trigger language plpgsql as $$
declare
    changes jsonb;
begin
    select jsonb_agg(jsonb_build_object('workspace_id', n.workspace_id, 'execution_id', n.execution_id,
        'automation_id', n.automation_id, 'channel', n.channel, 'sent_at', k.sent_at, 'kind', k.kind, 'count', k.count))
    from new_rows n
    join old_rows o on o.id = n.id
        and (message_counts(o.sent_at, o.status), o.sent_at) is distinct from (message_counts(n.sent_at, n.status), n.sent_at)
    cross join lateral (
        select o.sent_at, kind, -1 as count from unnest(message_counts(o.sent_at, o.status)) kind
        union all select n.sent_at, kind, 1 from unnest(message_counts(n.sent_at, n.status)) kind
    ) k
    where not n.test into changes;
    if changes is not null then
        perform tally_messages(changes);
    end if;
    return null;
end
$$;

create index analytics_changes_workspace on analytics_changes (workspace_id, subject, dimension);
