-- The circuit breakers of providers that do not answer, one for a workspace and provider. A row exists from the first
-- time-out to the next answer; rules/breaker.py decides its states.

create table provider_breakers (
    workspace_id uuid not null references workspaces on delete cascade,
    provider text not null,
    -- Consecutive time-outs.
    timeouts integer not null check (timeouts > 0),
    opened_at timestamptz,
    -- When the next call is let through.
    probe_at timestamptz,
    -- The execution whose call is the probe in progress.
    probed_by uuid,
    primary key (workspace_id, provider),
    constraint open_has_a_probe check ((opened_at is null) = (probe_at is null)),
    constraint only_open_is_probed check (probed_by is null or opened_at is not null)
);
alter table provider_breakers enable row level security, force row level security;
create policy own_workspace on provider_breakers to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on provider_breakers to beckon_service using (true) with check (true);
grant select, insert, update, delete on provider_breakers to beckon_app, beckon_service;

alter table executions drop constraint executions_waiting_for_check,
    add constraint executions_waiting_for_check check (waiting_for in (
        'time', 'window', 'event', 'follow_up', 'retry', 'rate_limit', 'provider', 'review', 'pause', 'configuration'));
create index executions_awaiting_provider on executions (workspace_id, provider, id)
    where status = 'waiting' and waiting_for = 'provider';

-- Also counts open breakers.
set local role beckon_service;
drop function pause_facts();
set local role none;
create function pause_facts() returns table (kind text, name text, reason text, workspaces bigint)
    language sql stable security definer set search_path = public, pg_temp as $$
        select kind, name, reason, count(*) from pauses group by kind, name, reason
        union all
        select 'provider', provider, 'timeouts', count(*) from provider_breakers where opened_at is not null
        group by provider
    $$;
revoke execute on function pause_facts() from public;
grant execute on function pause_facts() to beckon_app, beckon_service;

call transfer_function_ownership();
