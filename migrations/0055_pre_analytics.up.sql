-- Tallies behind Analytics: executions, tracked ones, steps, messages and responses by automation and time, so that ninety days of ten
-- million executions are read from some thousand rows.
--
-- Every change of a row that Analytics counts appends changes of the counts, +1 and -1, in the same transaction:
-- `analytics_changes` and `analytics_tallies` together always equal the rows. The scheduler adds the changes to the
-- tallies; a reader adds what is not added yet. Appending takes no lock that another transaction waits for. The
-- deletion of old rows changes nothing here: tallies are removed by their age, as the rows are.
--
-- Existing rows are counted here, while executions are locked: about two minutes for ten million.

-- A bucket of times: 0 below 1 ms, else each a tenth wider than the one before, so that its middle is at most 5 % off.
create function time_bucket(ms bigint) returns smallint language sql immutable parallel safe as
    $$ select case when ms is null then -1 when ms < 1 then 0 else least(1 + floor(ln(ms) / ln(1.1)), 300) end::smallint $$;

-- The quarter of an hour of a change: every time zone's days begin at one.
create function tally_slot(at timestamptz) returns timestamptz language sql immutable parallel safe as
    $$ select date_bin('15 minutes', at, timestamptz 'epoch') $$;

create function tally_status(status text, error_class text) returns text language sql immutable parallel safe as $$
    select case when status in ('pending', 'running', 'waiting') then 'active'
        when status = 'failed' and error_class = 'unknown_outcome' then 'unknown' else status end
$$;

-- Not yet added to the tallies. `subject` is what is counted, `dimension` says of what `value` is a value.
create table analytics_changes (
    workspace_id uuid not null,
    at timestamptz not null,
    subject text not null,
    dimension text not null,
    automation_id uuid not null,
    tracked boolean not null,
    value text not null,
    status text not null,
    bucket smallint not null,
    count integer not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create index analytics_changes_workspace on analytics_changes (workspace_id, subject, dimension);

-- By hour (`span`; by quarter of an hour where the workspace's zone is not whole hours from UTC) and by day in UTC. The
-- totals of all automations have the dimension `total` and the id of zeros.
create table analytics_tallies (
    workspace_id uuid not null references workspaces on delete cascade,
    subject text not null,
    dimension text not null,
    span text not null check (span in ('hour', 'day')),
    automation_id uuid not null,
    at timestamptz not null,
    tracked boolean not null,
    value text not null,
    status text not null,
    bucket smallint not null,
    count bigint not null,
    primary key (workspace_id, subject, dimension, span, automation_id, at, tracked, value, status, bucket)
) with (fillfactor = 80);
create index analytics_tallies_at on analytics_tallies (at);

-- What a message led to, once for each kind: a reply, a click, an unsubscription. `linked` is a message with links whose
-- clicks are counted: of others nobody knows whether a link was opened.
create table message_responses (
    message_id uuid not null references messages on delete cascade,
    kind text not null check (kind in ('linked', 'clicked', 'replied', 'unsubscribed')),
    workspace_id uuid not null,
    at timestamptz not null default beckon_now(),
    primary key (message_id, kind)
);

alter table analytics_changes enable row level security;
alter table analytics_changes force row level security;
create policy own_workspace on analytics_changes to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on analytics_changes to beckon_service using (true) with check (true);
grant select, insert on analytics_changes to beckon_app;
grant select, insert, update, delete on analytics_changes to beckon_service;
alter table analytics_tallies enable row level security;
alter table analytics_tallies force row level security;
create policy own_workspace on analytics_tallies to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on analytics_tallies to beckon_service using (true) with check (true);
grant select on analytics_tallies to beckon_app;
grant select, insert, update, delete on analytics_tallies to beckon_service;
alter table message_responses enable row level security;
alter table message_responses force row level security;
create policy own_workspace on message_responses to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on message_responses to beckon_service using (true) with check (true);
grant select, insert on message_responses to beckon_app;
grant select, insert, update, delete on message_responses to beckon_service;

-- The error of a failed execution: `provider|class|code`.
create function tally_error(provider text, error_class text, error_code text) returns text
    language sql immutable parallel safe as
    $$ select concat(provider, '|', error_class, '|', left(error_code, 100)) $$;

-- The time that the steps of an execution worked, without deliberate waits; of one without steps its whole time.
create function work_ms(execution uuid, whole_ms bigint) returns bigint language sql stable as $$
    select coalesce(sum(s.execution_time_ms) filter (where s.action not in ('wait', 'wait_until')), min(whole_ms))::bigint
    from (select whole_ms) w left join steps s on s.execution_id = execution
$$;

-- Executions, by their trigger, at the time they were accepted. Only succeeded ones have a time.
create function tally_new_executions() returns trigger language plpgsql as $$
begin
    insert into analytics_changes
    select n.workspace_id, tally_slot(n.created_at), 'executions', 'trigger', n.automation_id, false,
        coalesce(t.type, ''), tally_status(n.status, n.error_class),
        case when n.status = 'succeeded' then time_bucket(work_ms(n.id, n.execution_time_ms)) else -1 end, count(*)
    from new_rows n left join triggers t on t.id = n.trigger_id
    where not n.test group by 1, 2, 5, 7, 8, 9
    union all
    select n.workspace_id, tally_slot(n.created_at), 'executions', 'error', n.automation_id, false,
        tally_error(n.provider, n.error_class, n.error_code), 'failed', -1, count(*)
    from new_rows n where not n.test and tally_status(n.status, n.error_class) = 'failed' group by 1, 2, 5, 7;
    return null;
end
$$;
create trigger tally_new_executions after insert on executions referencing new table as new_rows
    for each statement execute function tally_new_executions();

create function tally_changed_execution() returns trigger language plpgsql as $$
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
create trigger tally_changed_execution after update on executions for each row
    when (not new.test and tally_status(old.status, old.error_class) <> tally_status(new.status, new.error_class))
    execute function tally_changed_execution();

-- Steps, at the time their execution was accepted: of the first round by step, and of all rounds by action with times.
create function tally_new_steps() returns trigger language plpgsql as $$
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
create trigger tally_new_steps after insert on steps referencing new table as new_rows
    for each statement execute function tally_new_steps();

create function tally_changed_steps() returns trigger language plpgsql as $$
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
create trigger tally_changed_steps after update on steps referencing old table as old_rows new table as new_rows
    for each statement execute function tally_changed_steps();

-- A page's path as it is counted: without ids, so that a shop's pages stay few.
create function tally_page(path text) returns text language sql immutable parallel safe as $$
    select left(case when path ~ '[0-9]'
        then regexp_replace(path, '/([0-9]+|[0-9a-fA-F-]{32,36}|(?=[^/]*[0-9])[^/.]{20,})(?=/|$)', '/:id', 'g')
        else coalesce(path, '') end, 200)
$$;

-- Tracked executions, at the time they ran: each by its trigger, its device and its page.
create function tally_tracked_executions() returns trigger language plpgsql as $$
begin
    insert into analytics_changes
    select n.workspace_id, n.at, 'executions', n.dimension, n.workflow_id, true,
        case when n.dimension = 'page' then tally_page(n.value) else left(n.value, 200) end, n.status, n.bucket, n.count
    from (
        select n.workspace_id, tally_slot(n.executed_at) as at, n.workflow_id, d.dimension, d.value,
            case n.status when 'success' then 'succeeded' when 'error' then 'failed' else 'timed_out' end as status,
            case when n.status = 'success' and d.dimension <> 'page' then time_bucket(n.execution_time_ms) else -1 end
                as bucket,
            count(*) as count
        from new_rows n
        cross join lateral (values ('trigger', coalesce(n.trigger_name, '')), ('device', coalesce(n.device_type, '')),
            ('page', coalesce(n.page_path, ''))) d (dimension, value)
        group by 1, 2, 3, 4, 5, 6, 7
    ) n;
    return null;
end
$$;
create trigger tally_tracked_executions after insert on workflow_executions referencing new table as new_rows
    for each statement execute function tally_tracked_executions();

create function tally_tracked_actions() returns trigger language plpgsql as $$
begin
    insert into analytics_changes
    select workspace_id, tally_slot(occurred_at), 'steps', 'action', workflow_id, true, left(coalesce(name, ''), 200),
        case when error is null then 'succeeded' else 'failed' end, time_bucket(execution_time_ms), count(*)
    from new_rows where event_type = 'action' group by 1, 2, 5, 7, 8, 9;
    return null;
end
$$;
create trigger tally_tracked_actions after insert on analytics_events referencing new table as new_rows
    for each statement execute function tally_tracked_actions();

-- What a message counts as: sent, delivered, opened.
create function message_counts(sent_at timestamptz, status text) returns text[] language sql immutable parallel safe as $$
    select case when sent_at is null then '{}'
        when status in ('delivered', 'complained') then '{sent,delivered}'
        when status = 'read' then '{sent,delivered,opened}'
        else '{sent}' end::text[]
$$;

-- Messages by channel, at the time they were sent, and by the variants of splits that were taken before.
create function tally_messages(changes jsonb) returns void language sql as $$
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

create function tally_new_messages() returns trigger language plpgsql as $$
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
create trigger tally_new_messages after insert on messages referencing new table as new_rows
    for each statement execute function tally_new_messages();

create function tally_changed_messages() returns trigger language plpgsql as $$
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
create trigger tally_changed_messages after update on messages referencing old table as old_rows new table as new_rows
    for each statement execute function tally_changed_messages();

create function tally_responses() returns trigger language plpgsql as $$
begin
    perform tally_messages((
        select jsonb_agg(jsonb_build_object('workspace_id', m.workspace_id, 'execution_id', m.execution_id,
            'automation_id', m.automation_id, 'channel', m.channel, 'sent_at', m.sent_at, 'kind', n.kind, 'count', 1))
        from new_rows n join messages m on m.id = n.message_id and m.sent_at is not null and not m.test
    )) where exists (select from new_rows);
    return null;
end
$$;
create trigger tally_responses after insert on message_responses referencing new table as new_rows
    for each statement execute function tally_responses();

-- A reply or an unsubscription belongs to the newest message to the contact on that channel, within seven days.
create function record_response(response text, contact uuid, via text, happened_at timestamptz) returns void
    language sql as $$
    insert into message_responses (message_id, kind, workspace_id, at)
    select m.id, response, m.workspace_id, happened_at from messages m
    where m.contact_id = contact and m.channel = via and not m.test
        and m.sent_at <= happened_at and m.sent_at > happened_at - interval '7 days'
    order by m.sent_at desc, m.id desc limit 1
    on conflict do nothing
$$;

create function record_reply() returns trigger language plpgsql as $$
begin
    perform record_response('replied', new.contact_id, new.channel, new.at);
    return null;
end
$$;
create trigger record_reply after insert on received_messages for each row
    when (new.kind in ('message', 'story_reply', 'postback')) execute function record_reply();

create function record_unsubscription() returns trigger language plpgsql as $$
begin
    perform record_response('unsubscribed', new.contact_id, new.channel, new.created_at);
    return null;
end
$$;
create trigger record_unsubscription after insert on suppressions for each row
    when (new.reason = 'unsubscribed') execute function record_unsubscription();

-- Added to the tallies, at most so many rows at once; returns how many. Of the values of one dimension, automation and
-- day the first hundred are kept, the most frequent first: what is beyond counts as `other`.
create function add_analytics_changes(most integer) returns integer language plpgsql as $$
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
revoke execute on function add_analytics_changes(integer) from public;
grant execute on function add_analytics_changes(integer) to beckon_service;

-- The rows of today.
set local role beckon_service;
insert into analytics_changes
select n.workspace_id, tally_slot(n.executed_at), 'executions', d.dimension, n.workflow_id, true,
    case when d.dimension = 'page' then tally_page(d.value) else left(d.value, 200) end,
    case n.status when 'success' then 'succeeded' when 'error' then 'failed' else 'timed_out' end,
    case when n.status = 'success' and d.dimension <> 'page' then time_bucket(n.execution_time_ms) else -1 end, count(*)
from workflow_executions n
cross join lateral (values ('trigger', coalesce(n.trigger_name, '')), ('device', coalesce(n.device_type, '')),
    ('page', coalesce(n.page_path, ''))) d (dimension, value)
group by 1, 2, 4, 5, 7, 8, 9;
insert into analytics_changes
select workspace_id, tally_slot(occurred_at), 'steps', 'action', workflow_id, true, left(coalesce(name, ''), 200),
    case when error is null then 'succeeded' else 'failed' end, time_bucket(execution_time_ms), count(*)
from analytics_events where event_type = 'action' group by 1, 2, 5, 7, 8, 9;
insert into analytics_changes
select e.workspace_id, tally_slot(e.created_at), 'executions', 'trigger', e.automation_id, false, coalesce(t.type, ''),
    tally_status(e.status, e.error_class),
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
select e.workspace_id, tally_slot(e.created_at), 'steps', d.dimension, e.automation_id, false, d.value, n.status, d.bucket,
    count(*)
from steps n join executions e on e.id = n.execution_id and not e.test
cross join lateral (values ('step', n.step_id, -1::smallint),
    ('action', n.action, time_bucket(case when n.status in ('succeeded', 'failed') then n.execution_time_ms end)))
    d (dimension, value, bucket)
where n.round = 0 or d.dimension = 'action'
group by 1, 2, 4, 5, 7, 8, 9;
insert into analytics_changes
select m.workspace_id, tally_slot(m.sent_at), 'messages', 'channel', m.automation_id, false, m.channel, k.kind, -1, count(*)
from messages m cross join lateral unnest(message_counts(m.sent_at, m.status)) k (kind)
where m.sent_at is not null and not m.test group by 1, 2, 5, 7, 8;
insert into analytics_changes
select m.workspace_id, tally_slot(m.sent_at), 'messages', 'variant', m.automation_id, false,
    s.step_id || ':' || (s.output ->> 'taken'), 'sent', -1, count(*)
from messages m
join steps s on s.execution_id = m.execution_id and s.action = 'split' and s.finished_at <= m.sent_at
    and s.output ->> 'taken' is not null
where m.sent_at is not null and not m.test group by 1, 2, 5, 7;
-- The trigger of this table counts them.
insert into message_responses (message_id, kind, workspace_id, at)
select m.id, 'replied', m.workspace_id, r.at from received_messages r
cross join lateral (
    select m.id, m.workspace_id from messages m
    where m.contact_id = r.contact_id and m.channel = r.channel and not m.test
        and m.sent_at <= r.at and m.sent_at > r.at - interval '7 days'
    order by m.sent_at desc, m.id desc limit 1
) m
where r.kind in ('message', 'story_reply', 'postback')
on conflict do nothing;
insert into message_responses (message_id, kind, workspace_id, at)
select m.id, 'unsubscribed', m.workspace_id, r.created_at from suppressions r
cross join lateral (
    select m.id, m.workspace_id from messages m
    where m.contact_id = r.contact_id and m.channel = r.channel and not m.test
        and m.sent_at <= r.created_at and m.sent_at > r.created_at - interval '7 days'
    order by m.sent_at desc, m.id desc limit 1
) m
where r.reason = 'unsubscribed'
on conflict do nothing;
set local role none;
