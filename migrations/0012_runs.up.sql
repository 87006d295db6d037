-- Runs: what is counted of an automation. Each run as a row, a day a partition; the hour in which a contact's next one
-- is the same run; and the counters on the automation. And the switches that turn this and its like off.

alter table workspaces
    add column run_tracking boolean not null default true,
    add column stats_in_api boolean not null default true,
    add column execution_tracking boolean not null default true;

create table automation_runs (
    id uuid not null,
    workspace_id uuid not null,
    automation_id uuid not null,
    contact_id uuid not null,
    execution_id uuid not null,
    kind text not null check (kind in ('comment_reply', 'opening_dm', 'follow_check', 'main_dm')),
    at timestamptz not null
) partition by range (at);
create table automation_runs_default partition of automation_runs default;

-- Unpartitioned and small, because PostgreSQL has no unique key across time partitions: the row is what racing workers
-- queue at. Rows whose hour is over are removed.
create table run_windows (
    automation_id uuid not null,
    contact_id uuid not null,
    workspace_id uuid not null,
    counted_at timestamptz not null,
    primary key (automation_id, contact_id)
) with (fillfactor = 80);

alter table automations
    -- Runs whose rows retention has removed, so that total_runs = archived_runs + rows.
    add column archived_runs bigint not null default 0,
    -- Runs in each of 24 hours, the newest first, which is the hour newest_run_hour (hours since 1970): they move with
    -- total_runs, so that the last day is known without counting its rows.
    add column hourly_runs integer[] not null default '{}',
    add column newest_run_hour bigint;

alter table executions
    -- What its first counted action was; no later step of it counts.
    add column run_kind text check (run_kind in ('comment_reply', 'opening_dm', 'follow_check', 'main_dm')),
    -- When that was, as long as the run could not be counted: a sweep counts it.
    add column run_due_at timestamptz;

create function hour_of(at timestamptz) returns bigint
    language sql immutable parallel safe
    as $$ select floor(extract(epoch from at) / 3600)::bigint $$;

-- The hours with so many more in one of them.
create function add_to_hours(hours integer[], newest bigint, hour bigint, more integer) returns integer[]
    language sql immutable parallel safe as $$
    select array_agg(
        coalesce(hours[place - greatest(0, hour - coalesce(newest, hour))::integer], 0)
            + case when place = 1 + greatest(0, coalesce(newest, hour) - hour) then more else 0 end
        order by place)
    from generate_series(1, 24) as place
$$;

-- The same as of now: 24 hours, the oldest first, the present one last.
create function hours_until(hours integer[], newest bigint, present bigint) returns integer[]
    language sql immutable parallel safe as $$
    select array_agg(coalesce(hours[place - (present - newest)::integer], 0) order by place desc)
    from generate_series(1, 24) as place
$$;

-- Now with runs, so that an automation whose execution ends and counts is written once.
drop function increment_automation_metrics(uuid, integer, integer, integer, integer, timestamptz);
create function increment_automation_metrics(
    automation uuid, succeeded_by integer, failed_by integer, skipped_by integer, cancelled_by integer, at timestamptz,
    runs_by integer default 0, run_at timestamptz default null
) returns void language sql as $$
    update automations set
        executions = executions + succeeded_by + failed_by + skipped_by + cancelled_by,
        succeeded = succeeded + succeeded_by,
        failed = failed + failed_by,
        skipped = skipped + skipped_by,
        cancelled = cancelled + cancelled_by,
        last_executed_at = greatest(last_executed_at, at),
        total_runs = total_runs + runs_by,
        last_run_at = greatest(last_run_at, run_at),
        hourly_runs = case when runs_by = 0 then hourly_runs
            else add_to_hours(hourly_runs, newest_run_hour, hour_of(run_at), runs_by) end,
        newest_run_hour = greatest(newest_run_hour, hour_of(run_at))
    where id = automation
$$;

-- Counts what could not be counted when it happened, the oldest first; answers what became of each. Locks in the order
-- of the engine's own counting: executions, windows, automations.
create function count_due_runs(most integer)
    returns table (execution_id uuid, automation_id uuid, contact_id uuid, kind text, counted boolean)
    language plpgsql as $$
declare
    one record;
begin
    for one in
        with due as materialized (
            select e.id from executions e where e.run_due_at is not null order by e.run_due_at limit most
        ), held as materialized (
            select e.id, e.workspace_id, e.automation_id, e.contact_id, e.run_kind, e.run_due_at
            from executions e where e.id in (select due.id from due) order by e.id for update skip locked
        ), settled as (
            update executions e set run_due_at = null from held h where e.id = h.id
        )
        select h.*, w.run_tracking from held h join workspaces w on w.id = h.workspace_id
        order by h.automation_id, h.contact_id, h.run_due_at
    loop
        continue when not one.run_tracking;
        execution_id := one.id;
        automation_id := one.automation_id;
        contact_id := one.contact_id;
        kind := one.run_kind;
        -- Whoever counts this contact waits here; what it counted is seen afterwards.
        insert into run_windows as w values (one.automation_id, one.contact_id, one.workspace_id, one.run_due_at)
            on conflict on constraint run_windows_pkey do update set counted_at = w.counted_at;
        counted := not exists (
            select 1 from automation_runs r
            where r.workspace_id = one.workspace_id and r.automation_id = one.automation_id
                and r.contact_id = one.contact_id
                and r.at > one.run_due_at - interval '1 hour' and r.at < one.run_due_at + interval '1 hour');
        if counted then
            insert into automation_runs (id, workspace_id, automation_id, contact_id, execution_id, kind, at)
                values (gen_random_uuid(), one.workspace_id, one.automation_id, one.contact_id, one.id, one.run_kind,
                        one.run_due_at);
            update run_windows w set counted_at = greatest(w.counted_at, one.run_due_at)
                where w.automation_id = one.automation_id and w.contact_id = one.contact_id;
            perform increment_automation_metrics(one.automation_id, 0, 0, 0, 0, null, 1, one.run_due_at);
        end if;
        return next;
    end loop;
end
$$;

-- total_runs and its like from the rows and what was archived; answers how many automations were looked at.
create function rebuild_run_counters() returns integer language plpgsql as $$
declare
    rebuilt integer;
begin
    -- Whoever counts waits, so that nothing is counted between the look and the writing.
    lock table automation_runs in exclusive mode;
    -- In the order in which the engine takes them.
    perform 1 from automations a order by a.id for no key update;
    with found as (
        select r.automation_id, count(*) as runs, max(r.at) as newest from automation_runs r group by 1
    ), hours as (
        select r.automation_id, hour_of(r.at) as hour, count(*) as runs from automation_runs r
        join found f on f.automation_id = r.automation_id
        where r.at >= f.newest - interval '24 hours' group by 1, 2
    ), written as (
        update automations a set
            total_runs = a.archived_runs + coalesce(f.runs, 0),
            last_run_at = case when a.archived_runs > 0 then greatest(a.last_run_at, f.newest) else f.newest end,
            newest_run_hour = case when f.newest is null then a.newest_run_hour else hour_of(f.newest) end,
            hourly_runs = case when f.newest is null then '{}' else (
                select array_agg(coalesce(h.runs, 0)::integer order by place)
                from generate_series(0, 23) as place
                left join hours h on h.automation_id = a.id and h.hour = hour_of(f.newest) - place) end
        from automations b left join found f on f.automation_id = b.id
        where a.id = b.id
        returning 1
    )
    select count(*) into rebuilt from written;
    return rebuilt;
end
$$;

create function ensure_run_partitions(days_ahead integer) returns integer
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    one date := beckon_now()::date;
    made integer := 0;
    part text;
begin
    for i in 0..days_ahead loop
        part := 'automation_runs_' || to_char(one, 'YYYY_MM_DD');
        if to_regclass(part) is null then
            -- Rows that already fell into the default partition would forbid the new one: then they stay there.
            if not exists (select 1 from automation_runs_default r where r.at >= one and r.at < one + interval '1 day')
            then
                execute format('create table %I partition of automation_runs for values from (%L) to (%L)',
                    part, one::timestamptz, (one + 1)::timestamptz);
                made := made + 1;
            end if;
        end if;
        one := one + 1;
    end loop;
    return made;
end
$$;

-- Archives what the days before hold, then drops them. Answers days and runs; none of either where somebody holds the
-- table for so long that those who count would have to wait.
create function drop_run_partitions(before timestamptz)
    returns table (days integer, runs bigint)
    language plpgsql security definer set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
    part record;
    archived bigint;
begin
    days := 0;
    runs := 0;
    for part in
        select c.relname, c.relname = 'automation_runs_default' as stays
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'automation_runs'::regclass and case
            when c.relname = 'automation_runs_default'
                then exists (select 1 from automation_runs_default r where r.at < before)
            else to_date(right(c.relname, 10), 'YYYY_MM_DD') + interval '1 day' <= before end
        order by c.relname
    loop
        -- Before any automation is locked: those who count hold this table first, too.
        lock table automation_runs in access exclusive mode;
        execute format(
            'select count(*) from (select a.id from automations a where a.id in (select r.automation_id from %I r '
            'where r.at < %L) order by a.id for no key update) locked', part.relname, before);
        execute format(
            'with old as (select automation_id, count(*) as n from %I where at < %L group by 1), added as ('
            '  update automations a set archived_runs = a.archived_runs + o.n from old o where a.id = o.automation_id'
            ') select coalesce(sum(n), 0) from old', part.relname, before) into archived;
        runs := runs + archived;
        if part.stays then
            execute format('delete from %I where at < %L', part.relname, before);
        else
            execute format('drop table %I', part.relname);
            days := days + 1;
        end if;
    end loop;
    return next;
exception when lock_not_available then
    days := 0;
    runs := 0;
    return next;
end
$$;

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array['automation_runs', 'run_windows'] loop
        execute format('alter table %I enable row level security', tenant_table);
        execute format(
            'create policy own_workspace on %I to beckon_app using (workspace_id = acting_workspace()) '
            'with check (workspace_id = acting_workspace())', tenant_table);
        execute format('create policy whole on %I to beckon_service using (true) with check (true)', tenant_table);
        -- The dashboard reads runs and never writes one.
        execute format('grant select on %I to beckon_app', tenant_table);
        execute format('grant select, insert, update, delete on %I to beckon_service', tenant_table);
    end loop;
end
$$;

revoke execute on function ensure_run_partitions(integer), drop_run_partitions(timestamptz), count_due_runs(integer),
    rebuild_run_counters() from public;
grant execute on function ensure_run_partitions(integer), drop_run_partitions(timestamptz), count_due_runs(integer),
    rebuild_run_counters() to beckon_service;

select ensure_run_partitions(7);

do $$ begin raise notice 'run counters of % automations initialised', rebuild_run_counters(); end $$;
