-- The functions that run in their owner's name become the migrations' owner's again. It may not simply take them, so
-- each is made anew, for the same callers.
do $$
declare
    door record;
begin
    for door in
        select p.oid::regprocedure::text as name, pg_get_functiondef(p.oid) as source,
            has_function_privilege('beckon_app', p.oid, 'execute') as for_app
        from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proowner = 'beckon_service'::regrole
    loop
        set local role beckon_service;
        execute format('drop function %s', door.name);
        set local role none;
        execute door.source;
        execute format('revoke execute on function %s from public', door.name);
        execute format('grant execute on function %s to beckon_service', door.name);
        if door.for_app then
            execute format('grant execute on function %s to beckon_app', door.name);
        end if;
    end loop;
end
$$;

drop procedure hand_functions_over();
revoke select on schema_hashes, schema_migrations, schema_migrations_id_seq from beckon_service;

create or replace function ensure_history_partitions(months_ahead integer) returns integer
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    month date := date_trunc('month', beckon_now())::date;
    made integer := 0;
    part text;
begin
    for i in 0..months_ahead loop
        part := 'stage_history_' || to_char(month, 'YYYY_MM');
        if to_regclass(part) is null then
            -- Rows that already fell into the default partition would forbid the new one: then they stay there.
            if not exists (
                select 1 from stage_history_default h where h.entered_at >= month and h.entered_at < month + interval '1 month'
            ) then
                execute format(
                    'create table %I partition of stage_history for values from (%L) to (%L)',
                    part, month::timestamptz, (month + interval '1 month')::timestamptz);
                made := made + 1;
            end if;
        end if;
        month := (month + interval '1 month')::date;
    end loop;
    return made;
end
$$;

create or replace function drop_history_partitions(before timestamptz) returns integer
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    part record;
    busy boolean;
    dropped integer := 0;
begin
    for part in
        select c.relname, (regexp_match(c.relname, '^stage_history_(\d{4})_(\d{2})$')) as month
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'stage_history'::regclass and c.relname ~ '^stage_history_\d{4}_\d{2}$'
    loop
        continue when make_date(part.month[1]::int, part.month[2]::int, 1) + interval '1 month' > before;
        -- An execution that took months keeps its early history until it goes itself.
        execute format(
            'select exists (select 1 from %I h join executions e on e.id = h.execution_id)', part.relname) into busy;
        continue when busy;
        execute format('drop table %I', part.relname);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

create or replace function ensure_run_partitions(days_ahead integer) returns integer
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

create or replace function drop_run_partitions(before timestamptz)
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

drop function drop_partition(text, text), create_partition(text, text, timestamptz, timestamptz);
drop procedure secure_partition(regclass);

do $$
declare
    part regclass;
    secured regclass;
begin
    for part in
        select i.inhrelid from pg_inherits i join pg_class c on c.oid = i.inhparent
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'p' and c.relrowsecurity
    loop
        execute format('drop policy whole on %s', part);
        execute format('alter table %s disable row level security', part);
        execute format('revoke select on %s from beckon_service', part);
    end loop;
    for secured in
        select oid from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relforcerowsecurity
    loop
        execute format('alter table %s no force row level security', secured);
    end loop;
end
$$;
