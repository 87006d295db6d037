-- Totals of all automations by trigger, device and page, beside those of everything: the days of one page are read without
-- every automation's hours.

create index analytics_tallies_totals on analytics_tallies (workspace_id, dimension, span, value, at)
    where automation_id = '00000000-0000-0000-0000-000000000000';

create or replace function add_analytics_changes(most integer) returns integer language plpgsql as $$
declare
    added integer;
begin
    with gone as materialized (
        delete from analytics_changes where ctid = any(array(select ctid from analytics_changes limit most)) returning *
    ), named as (
        select g.workspace_id, g.subject, g.dimension, g.automation_id, date_bin('1 day', g.at, timestamptz 'epoch') as day,
            g.value, sum(abs(g.count)) as weight
        from gone g group by 1, 2, 3, 4, 5, 6
    ), known as (
        select n.*, exists (
            select from analytics_tallies t where (t.workspace_id, t.subject, t.dimension, t.span, t.automation_id, t.at) =
                (n.workspace_id, n.subject, n.dimension, 'day', n.automation_id, n.day) and t.value = n.value) as is_known
        from named n
    ), ranked as (
        select k.*, row_number() over (
            partition by workspace_id, subject, dimension, automation_id, day, is_known order by weight desc, value) as rank
        from known k
    ), kept as (
        select r.*, case when is_known or rank <= 10 or rank <= 100 - (
            select count(distinct t.value) from analytics_tallies t
            where (t.workspace_id, t.subject, t.dimension, t.span, t.automation_id, t.at) =
                (r.workspace_id, r.subject, r.dimension, 'day', r.automation_id, r.day)) then value else 'other' end as kept_value
        from ranked r
    ), placed as (
        select g.workspace_id, g.subject, p.dimension, p.span, p.automation_id, p.at, g.tracked, p.value, g.status, g.bucket,
            sum(g.count) as count
        from gone g
        join workspaces w on w.id = g.workspace_id
        join kept k on (k.workspace_id, k.subject, k.dimension, k.automation_id, k.day, k.value) =
            (g.workspace_id, g.subject, g.dimension, g.automation_id, date_bin('1 day', g.at, timestamptz 'epoch'), g.value)
        cross join lateral (select case
            when extract(minute from g.at at time zone w.timezone) = extract(minute from g.at at time zone 'UTC')
            then date_bin('1 hour', g.at, timestamptz 'epoch') else g.at end as slot) h
        cross join lateral (
            values (g.dimension, 'hour', g.automation_id, h.slot, k.kept_value),
                (g.dimension, 'day', g.automation_id, k.day, k.kept_value),
                (case when g.subject = 'executions' and g.dimension <> 'error' then g.dimension end, 'hour',
                    '00000000-0000-0000-0000-000000000000'::uuid, h.slot, k.kept_value),
                (case when g.subject = 'executions' and g.dimension <> 'error' then g.dimension end, 'day',
                    '00000000-0000-0000-0000-000000000000'::uuid, k.day, k.kept_value),
                (case when g.dimension = 'trigger' then 'total' end, 'hour', '00000000-0000-0000-0000-000000000000'::uuid,
                    h.slot, ''),
                (case when g.dimension = 'trigger' then 'total' end, 'day', '00000000-0000-0000-0000-000000000000'::uuid,
                    k.day, '')
        ) p (dimension, span, automation_id, at, value)
        where p.dimension is not null
        group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 having sum(g.count) <> 0
    ), written as (
        insert into analytics_tallies as t (workspace_id, subject, dimension, span, automation_id, at, tracked, value, status,
            bucket, count)
        select * from placed order by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
        on conflict (workspace_id, subject, dimension, span, automation_id, at, tracked, value, status, bucket)
            do update set count = t.count + excluded.count
    )
    select count(*) from gone into added;
    return added;
end
$$;

set local role beckon_service;
insert into analytics_tallies
select workspace_id, subject, dimension, span, '00000000-0000-0000-0000-000000000000', at, tracked, value, status, bucket,
    sum(count)
from analytics_tallies
where subject = 'executions' and dimension in ('trigger', 'device', 'page')
group by 1, 2, 3, 4, 6, 7, 8, 9, 10;
set local role none;
