-- Row security binds the owner too, and nothing in the schema needs a superuser.
--
-- The owner of a table passes by its row security unless that is forced. It was not, so a connection that had lost its
-- role saw every tenant. Now such a connection sees nothing.
--
-- What read rows in the owner's name does so in the name of beckon_service, for which no condition stands in the way of
-- an index. Only two functions stay the owner's: they make and drop partitions, and read no row.

do $$
declare
    secured regclass;
begin
    for secured in
        select oid from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relrowsecurity
    loop
        execute format('alter table %s force row level security', secured);
    end loop;
end
$$;

-- A partition is a table of its own to whoever names it: secured like its parent, and read by dumps.
create procedure secure_partition(part regclass) language plpgsql set search_path = public, pg_temp as $$
begin
    execute format('alter table %s enable row level security, force row level security', part);
    execute format('create policy whole on %s to beckon_service using (true) with check (true)', part);
    execute format('grant select on %s to beckon_service', part);
end
$$;

do $$
declare
    part regclass;
begin
    for part in
        select i.inhrelid from pg_inherits i join pg_class c on c.oid = i.inhparent
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'p' and c.relrowsecurity
    loop
        call secure_partition(part);
    end loop;
end
$$;

create function create_partition(parent text, part text, lowest timestamptz, upper timestamptz) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if parent not in ('stage_history', 'automation_runs') or part !~ ('^' || parent || '_[0-9_]+$') then
        raise exception '% is no partition of a table that has them', part;
    end if;
    execute format('create table %I partition of %I for values from (%L) to (%L)', part, parent, lowest, upper);
    call secure_partition(part::regclass);
end
$$;

create function drop_partition(parent text, part text) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if parent not in ('stage_history', 'automation_runs') or part !~ ('^' || parent || '_[0-9_]+$') then
        raise exception '% is no partition of a table that has them', part;
    end if;
    execute format('drop table %I', part);
end
$$;

-- These run as whoever calls them, which is beckon_service.
create or replace function ensure_history_partitions(months_ahead integer) returns integer
    language plpgsql security invoker set search_path = public, pg_temp as $$
declare
    month date := date_trunc('month', beckon_now())::date;
    upper date;
    made integer := 0;
    part text;
begin
    for i in 0..months_ahead loop
        part := 'stage_history_' || to_char(month, 'YYYY_MM');
        upper := (month + interval '1 month')::date;
        -- Rows that already fell into the default partition would forbid the new one: then they stay there.
        if to_regclass(part) is null
            and not exists (select 1 from stage_history h where h.entered_at >= month and h.entered_at < upper)
        then
            perform create_partition('stage_history', part, month::timestamptz, upper::timestamptz);
            made := made + 1;
        end if;
        month := upper;
    end loop;
    return made;
end
$$;

create or replace function drop_history_partitions(before timestamptz) returns integer
    language plpgsql security invoker set search_path = public, pg_temp as $$
declare
    part record;
    upper date;
    dropped integer := 0;
begin
    for part in
        select c.relname, to_date(right(c.relname, 7), 'YYYY_MM') as lowest
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'stage_history'::regclass and c.relname ~ '^stage_history_\d{4}_\d{2}$'
    loop
        upper := (part.lowest + interval '1 month')::date;
        continue when upper > before;
        -- An execution that took months keeps its early history until it goes itself.
        continue when exists (
            select 1 from stage_history h join executions e on e.id = h.execution_id
            where h.entered_at >= part.lowest and h.entered_at < upper);
        perform drop_partition('stage_history', part.relname);
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

create or replace function ensure_run_partitions(days_ahead integer) returns integer
    language plpgsql security invoker set search_path = public, pg_temp as $$
declare
    day date := beckon_now()::date;
    made integer := 0;
    part text;
begin
    for i in 0..days_ahead loop
        part := 'automation_runs_' || to_char(day, 'YYYY_MM_DD');
        -- Rows that already fell into the default partition would forbid the new one: then they stay there.
        if to_regclass(part) is null
            and not exists (select 1 from automation_runs r where r.at >= day and r.at < day + 1)
        then
            perform create_partition('automation_runs', part, day::timestamptz, (day + 1)::timestamptz);
            made := made + 1;
        end if;
        day := day + 1;
    end loop;
    return made;
end
$$;

-- Archives what the days before hold, then drops them. Answers days and runs; none of either where somebody holds the
-- table for so long that those who count would have to wait.
create or replace function drop_run_partitions(before timestamptz)
    returns table (days integer, runs bigint)
    language plpgsql security invoker set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
    part record;
    archived bigint;
begin
    days := 0;
    runs := 0;
    for part in
        select c.oid, c.relname, c.relname = 'automation_runs_default' as stays,
            -- A day's partition holds its day, the default one whatever fell into it.
            case when c.relname = 'automation_runs_default' then '-infinity'
                else to_date(right(c.relname, 10), 'YYYY_MM_DD')::timestamptz end as lowest,
            case when c.relname = 'automation_runs_default' then before
                else (to_date(right(c.relname, 10), 'YYYY_MM_DD') + 1)::timestamptz end as upper
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'automation_runs'::regclass
        order by c.relname
    loop
        continue when part.upper > before or (part.stays and not exists (
            select 1 from automation_runs r where r.at < before and r.tableoid = part.oid));
        -- Before any automation is locked: those who count hold this table first, too.
        lock table automation_runs in access exclusive mode;
        perform a.id from automations a where a.id in (
            select r.automation_id from automation_runs r
            where r.at >= part.lowest and r.at < part.upper and r.tableoid = part.oid
        ) order by a.id for no key update;
        with old as (
            select r.automation_id, count(*) as n from automation_runs r
            where r.at >= part.lowest and r.at < part.upper and r.tableoid = part.oid group by 1
        ), added as (
            update automations a set archived_runs = a.archived_runs + o.n from old o where a.id = o.automation_id
        )
        select coalesce(sum(n), 0) into archived from old;
        runs := runs + archived;
        if part.stays then
            delete from automation_runs r where r.at < before and r.tableoid = part.oid;
        else
            perform drop_partition('automation_runs', part.relname);
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

revoke execute on function create_partition(text, text, timestamptz, timestamptz), drop_partition(text, text) from public;
revoke execute on procedure secure_partition(regclass) from public;
grant execute on function create_partition(text, text, timestamptz, timestamptz), drop_partition(text, text)
    to beckon_service;

-- Every function that runs in its owner's name is beckon_service's, but for the two above. A migration that makes one
-- calls this at its end; one that replaces one drops it after `set local role beckon_service`.
create procedure hand_functions_over() language plpgsql set search_path = public, pg_temp as $$
declare
    doors constant regprocedure[] := array(
        select p.oid from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proowner <> 'beckon_service'::regrole
            and p.proname not in ('create_partition', 'drop_partition'));
    door regprocedure;
begin
    if doors = '{}' then
        return;
    end if;
    -- Whoever is to own a function must be allowed to make one; beckon_service is for this moment alone.
    grant create on schema public to beckon_service;
    foreach door in array doors loop
        execute format('alter function %s owner to beckon_service', door);
    end loop;
    revoke create on schema public from beckon_service;
end
$$;
revoke execute on procedure hand_functions_over() from public;
call hand_functions_over();

-- For dumps, which are made as beckon_service, and for newest_migration().
grant select on schema_hashes, schema_migrations, schema_migrations_id_seq to beckon_service;
