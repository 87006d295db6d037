-- Executions of playbooks, which visitors' browsers report: stored raw in an intake table before the response, then
-- written as records in batches. Both record tables have a partition for each day of their ids, which grow with time.

-- The lowest id (UUID version 7) of a point in time, for the bounds of partitions and of queries.
create function lowest_id_at(at timestamptz) returns uuid
    language sql immutable parallel safe as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- A new id, for rows that programs of other people insert; ours bring their own.
create function new_id() returns uuid
    language sql volatile parallel safe as $$
    select overlay(
        overlay(gen_random_uuid()::text placing left(lowest_id_at(beckon_now())::text, 13) from 1) placing '7' from 15
    )::uuid
$$;

-- What the dashboard accepted and the tracking program has not yet recorded. Rows live for a second; one that cannot be
-- recorded stays, with the time and the reason.
create table tracking_intake (
    id uuid primary key,
    workspace_id uuid not null,
    site_key_id uuid,
    execution_id text not null,
    body json not null,
    received_at timestamptz not null default beckon_now(),
    failed_at timestamptz,
    error text
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- The ids that producers chose: unpartitioned, because PostgreSQL has no unique key across time partitions.
create table tracked_execution_ids (
    workspace_id uuid not null,
    execution_id text not null,
    -- Of the first execution with it. It grows with time, so expired rows are found by it.
    id uuid not null,
    primary key (workspace_id, execution_id)
);
create index tracked_execution_ids_oldest on tracked_execution_ids (id);

create table workflow_executions (
    id uuid not null default new_id(),
    workspace_id uuid not null default acting_workspace(),
    workflow_id uuid not null,
    site_key_id uuid,
    execution_id text,
    user_id text,
    status text not null check (status in ('success', 'error', 'timeout')),
    execution_time_ms integer,
    page_url text,
    page_path text,
    session_id text,
    device_type text check (device_type in ('desktop', 'mobile', 'tablet')),
    trigger_name text,
    action_count integer not null default 0,
    failed_actions integer not null default 0,
    executed_at timestamptz not null default beckon_now(),
    received_at timestamptz not null default beckon_now(),
    primary key (id)
) partition by range (id);
create index workflow_executions_newest on workflow_executions (workspace_id, id desc);
create index workflow_executions_of_workflow on workflow_executions (workflow_id, id desc);
create table workflow_executions_default partition of workflow_executions default;

-- An execution's actions. Their ids are the execution's with the position in the last byte, so that one range of the
-- primary key holds all of them.
create table analytics_events (
    id uuid not null default new_id(),
    workspace_id uuid not null default acting_workspace(),
    workflow_id uuid not null,
    workflow_execution_id uuid,
    event_type text not null,
    name text,
    element_selector text,
    page_url text,
    execution_time_ms integer,
    event_data jsonb,
    error text,
    position integer not null default 0,
    occurred_at timestamptz not null default beckon_now(),
    primary key (id)
) partition by range (id);
create table analytics_events_default partition of analytics_events default;

-- A row without a workspace is one of its automation's workspace.
create function set_workspace_of_workflow() returns trigger
    language plpgsql set search_path = public, pg_temp as $$
begin
    select a.workspace_id into new.workspace_id from automations a where a.id = new.workflow_id;
    return new;
end
$$;
create trigger set_workspace before insert on workflow_executions
    for each row when (new.workspace_id is null) execute function set_workspace_of_workflow();
create trigger set_workspace before insert on analytics_events
    for each row when (new.workspace_id is null) execute function set_workspace_of_workflow();

-- Automations under the source document's names. As its caller: row security and grants of the table apply.
create view workflows with (security_invoker = true) as
    select id, workspace_id, name, type, enabled, executions, succeeded, failed, last_executed_at as last_run,
        created_at, updated_at
    from automations where deleted_at is null;
grant select on workflows to beckon_app;
grant select, update on workflows to beckon_service;

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array[
        'tracking_intake', 'tracked_execution_ids', 'workflow_executions', 'analytics_events'
    ] loop
        execute format('alter table %I enable row level security, force row level security', tenant_table);
        execute format(
            'create policy own_workspace on %I to beckon_app using (workspace_id = acting_workspace()) '
            'with check (workspace_id = acting_workspace())', tenant_table);
        execute format('create policy whole on %I to beckon_service using (true) with check (true)', tenant_table);
        -- The dashboard reads them, and stores only through store_tracked_executions.
        execute format('grant select on %I to beckon_app', tenant_table);
        execute format('grant select, insert, update, delete on %I to beckon_service', tenant_table);
    end loop;
end
$$;
call secure_partition('workflow_executions_default');
call secure_partition('analytics_events_default');

-- Stores entries of any workspaces, in the order in which they arrived: `[{"id", "workspace_id", "site_key_id",
-- "execution_id", "body"}]`. Returns the ids of the duplicates, for which it stores nothing: an execution id of the same
-- workspace within 90 days, or earlier in this list. The same entries again are no duplicates of themselves.
create function store_tracked_executions(entries json) returns setof uuid
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    oldest constant uuid := lowest_id_at(beckon_now() - interval '90 days');
begin
    return query
    with input as materialized (
        select * from rows from (
            json_to_recordset(entries) as (id uuid, workspace_id uuid, site_key_id uuid, execution_id text, body json)
        ) with ordinality as entry(id, workspace_id, site_key_id, execution_id, body, place)
    ), reserved as (
        insert into tracked_execution_ids as k (workspace_id, execution_id, id)
        -- In one order for every process, so that two of them cannot deadlock.
        select distinct on (i.workspace_id, i.execution_id) i.workspace_id, i.execution_id, i.id from input i
        order by i.workspace_id, i.execution_id, i.place
        on conflict on constraint tracked_execution_ids_pkey do update set id = excluded.id where k.id < oldest
        returning k.id
    ), stored as (
        insert into tracking_intake (id, workspace_id, site_key_id, execution_id, body)
        select i.id, i.workspace_id, i.site_key_id, i.execution_id, i.body from input i
        where i.id in (select r.id from reserved r)
    )
    select i.id from input i
    where i.id not in (select r.id from reserved r) and not exists (
        select 1 from tracked_execution_ids k
        where k.workspace_id = i.workspace_id and k.execution_id = i.execution_id and k.id = i.id);
end
$$;

-- The bounds of a table that is partitioned by its ids are those of the times.
create or replace function create_partition(parent text, part text, lowest timestamptz, upper timestamptz) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    bounds text;
begin
    if parent not in ('stage_history', 'automation_runs', 'workflow_executions', 'analytics_events')
        or part !~ ('^' || parent || '_[0-9_]+$')
    then
        raise exception '% is no partition of a table that has them', part;
    end if;
    if parent in ('workflow_executions', 'analytics_events') then
        bounds := format('from (%L) to (%L)', lowest_id_at(lowest), lowest_id_at(upper));
    else
        bounds := format('from (%L) to (%L)', lowest, upper);
    end if;
    execute format('create table %I partition of %I for values %s', part, parent, bounds);
    call secure_partition(part::regclass);
end
$$;

create or replace function drop_partition(parent text, part text) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if parent not in ('stage_history', 'automation_runs', 'workflow_executions', 'analytics_events')
        or part !~ ('^' || parent || '_[0-9_]+$')
    then
        raise exception '% is no partition of a table that has them', part;
    end if;
    execute format('drop table %I', part);
end
$$;

create function ensure_tracking_partitions(days_ahead integer) returns integer
    language plpgsql security invoker set search_path = public, pg_temp as $$
declare
    today constant date := (beckon_now() at time zone 'UTC')::date;
    parent text;
    part text;
    lowest timestamptz;
    upper timestamptz;
    has_rows boolean;
    made integer := 0;
begin
    for day in 0..days_ahead loop
        lowest := (today + day)::timestamp at time zone 'UTC';
        upper := (today + day + 1)::timestamp at time zone 'UTC';
        foreach parent in array array['workflow_executions', 'analytics_events'] loop
            part := parent || '_' || to_char(today + day, 'YYYY_MM_DD');
            continue when to_regclass(part) is not null;
            -- Rows that already fell into the default partition would forbid the new one: then they stay there.
            execute format('select exists (select 1 from %I where id >= %L and id < %L)',
                parent, lowest_id_at(lowest), lowest_id_at(upper)) into has_rows;
            continue when has_rows;
            perform create_partition(parent, part, lowest, upper);
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$$;

-- Archives what the days before hold, then drops them with their actions. Returns days and executions; none of either
-- where somebody holds a table for so long that writers would have to wait.
create function drop_tracking_partitions(before timestamptz)
    returns table (days integer, executions bigint)
    language plpgsql security invoker set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
    part record;
    archived bigint;
begin
    days := 0;
    executions := 0;
    for part in
        with parts as (
            select c.oid, c.relname, c.relname = 'workflow_executions_default' as stays,
                to_date(nullif(right(c.relname, 10), 'ns_default'), 'YYYY_MM_DD')::timestamp at time zone 'UTC' as day
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'workflow_executions'::regclass
        )
        select p.*, case when p.stays then lowest_id_at('epoch') else lowest_id_at(p.day) end as lowest,
            lowest_id_at(case when p.stays then before else p.day + interval '1 day' end) as upper
        from parts p where p.stays or p.day + interval '1 day' <= before order by p.relname
    loop
        continue when part.stays and not exists (
            select 1 from workflow_executions w where w.id < part.upper and w.tableoid = part.oid);
        -- Before any automation is locked: those who count hold these tables first, too.
        lock table workflow_executions, analytics_events in access exclusive mode;
        perform a.id from automations a where a.id in (
            select w.workflow_id from workflow_executions w
            where w.id >= part.lowest and w.id < part.upper and w.tableoid = part.oid
        ) order by a.id for no key update;
        with old as (
            select w.workspace_id, w.workflow_id, count(*) as n,
                count(*) filter (where w.status = 'success') as succeeded,
                count(*) filter (where w.status <> 'success') as failed
            from workflow_executions w
            where w.id >= part.lowest and w.id < part.upper and w.tableoid = part.oid group by 1, 2
        ), added as (
            update automations a set
                archived_executions = a.archived_executions + o.n,
                archived_succeeded = a.archived_succeeded + o.succeeded,
                archived_failed = a.archived_failed + o.failed
            from old o where a.id = o.workflow_id and a.workspace_id = o.workspace_id
        )
        select coalesce(sum(n), 0) into archived from old;
        executions := executions + archived;
        if part.stays then
            delete from workflow_executions w where w.id < part.upper and w.tableoid = part.oid;
            delete from analytics_events e
                where e.id < part.upper and e.tableoid = 'analytics_events_default'::regclass;
        else
            perform drop_partition('workflow_executions', part.relname);
            if to_regclass(replace(part.relname, 'workflow_executions', 'analytics_events')) is not null then
                perform drop_partition(
                    'analytics_events', replace(part.relname, 'workflow_executions', 'analytics_events'));
            end if;
            days := days + 1;
        end if;
    end loop;
    return next;
exception when lock_not_available then
    days := 0;
    executions := 0;
    return next;
end
$$;

revoke execute on function store_tracked_executions(json),
    ensure_tracking_partitions(integer), drop_tracking_partitions(timestamptz) from public;
grant execute on function store_tracked_executions(json) to beckon_app, beckon_service;
grant execute on function ensure_tracking_partitions(integer), drop_tracking_partitions(timestamptz) to beckon_service;

select ensure_tracking_partitions(7);

call transfer_function_ownership();
