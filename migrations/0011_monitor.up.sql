-- The live monitor: where each contact stands, as views under the old names, and tallies that keep a day cheap to add up.

-- What is in motion of one automation, and its failures by when they came to rest. The columns are indexed already, so
-- no update that was in place before is not any more.
create index idx_automation_states_rule on executions (automation_id, finished_at)
    where status in ('pending', 'running', 'waiting', 'failed');
-- The newest moves of one automation: the same index under the name by which the monitor knows it.
alter index stage_history_automation rename to idx_automation_states_updated;

-- How often one stage was left for another in five minutes, and how long it had lasted in all. Written by the scheduler
-- from the stage history, never by the engine; what is younger than `tallied.until` is read from the history itself.
create table stage_tallies (
    workspace_id uuid not null references workspaces on delete cascade,
    automation_id uuid not null references automations on delete cascade,
    at timestamptz not null,
    test boolean not null,
    from_stage text not null,
    stage text not null,
    -- Why, where the move was to skipped; else empty. The words are those of one of them.
    rule text not null,
    words text,
    moves integer not null,
    from_ms bigint not null,
    -- Of moves to sent: those that were their execution's first.
    first_sent integer not null,
    primary key (automation_id, at, test, from_stage, stage, rule)
);
create index stage_tallies_workspace on stage_tallies (workspace_id);
alter table stage_tallies enable row level security;
create policy own_workspace on stage_tallies to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on stage_tallies to beckon_service using (true) with check (true);
grant select, insert, update, delete on stage_tallies to beckon_app, beckon_service;

-- Until when the tallies are complete. No row: nothing is tallied yet.
create table tallied (
    one boolean primary key default true check (one),
    until timestamptz not null
);
grant select on tallied to beckon_app;
grant select, insert, update, delete on tallied to beckon_service;

create view automation_contact_states with (security_invoker = true) as
select e.id as execution_id, e.workspace_id, e.automation_id as rule_id, e.contact_id, e.test, e.status,
    e.stage as current_stage, e.stage_since as stage_entered_at, greatest(e.stage_since, e.rung_at) as updated_at,
    m.body as generated_message, m.generation_ms, m.channel,
    case when e.stage = 'failed' or e.waiting_for = 'configuration' then e.error_message end as error,
    e.follow_up_count,
    case when e.waiting_for = 'follow_up' then e.due_at end as next_check_at,
    case when e.stage = 'ready_to_send' then coalesce(e.due_at, m.send_at) end as scheduled_for
from executions e
left join lateral (
    select m.body, m.generation_ms, m.channel, m.send_at from messages m
    where m.execution_id = e.id order by m.round desc, m.id desc limit 1
) m on true
where e.finished_at is null or e.finished_at > beckon_now() - interval '24 hours';

create view active_automation_contacts with (security_invoker = true) as
select s.*, a.name as automation_name,
    coalesce(nullif(trim(concat_ws(' ', c.first_name, c.last_name)), ''), c.username, c.email, c.phone, c.external_id)
        as contact_name,
    extract(epoch from beckon_now() - s.stage_entered_at)::float8 as seconds_in_stage
from automation_contact_states s
join automations a on a.id = s.rule_id
left join contacts c on c.id = s.contact_id
where s.status in ('pending', 'running', 'waiting');

create view automation_live_stats with (security_invoker = true) as
select s.workspace_id, s.rule_id, s.current_stage, s.contacts, s.updated_at, (
    select avg(h.from_ms) / 1000 from stage_history h
    where h.automation_id = s.rule_id and h.from_stage = s.current_stage
        and h.entered_at > beckon_now() - interval '24 hours'
)::float8 as average_seconds
from (
    select workspace_id, rule_id, current_stage, count(*) as contacts, max(updated_at) as updated_at
    from automation_contact_states group by 1, 2, 3
) s;

grant select on automation_contact_states, active_automation_contacts, automation_live_stats
    to beckon_app, beckon_service;
