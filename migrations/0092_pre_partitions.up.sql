-- Executions and steps have a partition for each month of the executions' ids, which grow with time, so that keys and
-- look-ups need no second column, and retention drops a month as a whole. Whatever fits in no month falls into the default
-- partitions; there also live the few executions of a dropped month that are kept, because they are in flight or have
-- ended later.
--
-- Messages stay one table, because their key is unique in it. The stage history stays partitioned by its own times, by
-- which the monitor reads it.
set local lock_timeout = '10s';
lock table executions, steps in access exclusive mode;

-- Renames a table, and creates an empty one in its place, with its columns, constraints, indexes, triggers, policies and
-- grants; views read the new one. `clause` follows the columns. For migrations alone.
create procedure replace_table(name text, replaced text, clause text)
    language plpgsql set search_path = public, pg_temp as $$
declare
    original constant regclass := name::regclass;
    statements text[];
    item record;
begin
    select array_agg(s.statement order by s.place, s.statement) into statements from (
        select 1 as place, format('alter table %I add constraint %I %s', name, conname, pg_get_constraintdef(oid)) as statement
        from pg_constraint where conrelid = original and contype in ('p', 'f')
        union all
        select 2, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') from pg_index
        where indrelid = original and not indisprimary
        union all
        select 3, format('create policy %I on %I to %s using (%s) with check (%s)',
            policyname, name, array_to_string(roles, ', '), qual, with_check)
        from pg_policies where schemaname = 'public' and tablename = name
        union all
        select 4, format('alter table %I enable row level security, force row level security', name)
        union all
        select 5, format('grant %s on %I to %s', a.privilege_type, name, a.grantee::regrole)
        from pg_class c, aclexplode(c.relacl) a where c.oid = original and a.grantee <> c.relowner
        union all
        select 6, pg_get_triggerdef(oid) from pg_trigger where tgrelid = original and not tgisinternal
        union all
        select distinct 7, format('create or replace view %s with (%s) as %s',
            v.oid::regclass, array_to_string(v.reloptions, ', '), pg_get_viewdef(v.oid))
        from pg_depend d join pg_rewrite r on r.oid = d.objid join pg_class v on v.oid = r.ev_class
        where d.classid = 'pg_rewrite'::regclass and d.refobjid = original
    ) s;

    for item in select indexrelid::regclass as index, relname from pg_index join pg_class c on c.oid = indexrelid
        where indrelid = original
    loop
        execute format('alter index %s rename to %I', item.index, left(replaced || '_' || item.relname, 63));
    end loop;
    for item in select tgname from pg_trigger where tgrelid = original and not tgisinternal loop
        execute format('drop trigger %I on %s', item.tgname, original);
    end loop;
    execute format('alter table %I rename to %I', name, replaced);
    execute format('create table %I (like %I including all excluding indexes) %s', name, replaced, clause);
    for item in select unnest(statements) as statement loop
        execute item.statement;
    end loop;
end
$$;
revoke execute on procedure replace_table(text, text, text) from public;

-- A month of executions may be created and dropped as those of other tables.
create or replace function create_partition(parent text, part text, lowest timestamptz, upper timestamptz) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    bounds text;
begin
    if parent not in ('stage_history', 'automation_runs', 'workflow_executions', 'analytics_events', 'executions', 'steps')
        or part !~ ('^' || parent || '_[0-9_]+$')
    then
        raise exception '% is no partition of a table that has them', part;
    end if;
    if parent in ('workflow_executions', 'analytics_events', 'executions', 'steps') then
        bounds := format('from (%L) to (%L)', lowest_id_at(lowest), lowest_id_at(upper));
    else
        bounds := format('from (%L) to (%L)', lowest, upper);
    end if;
    -- Rows of executions and steps change: with room on their page no index does.
    execute format('create table %I partition of %I for values %s%s', part, parent, bounds,
        case parent when 'executions' then ' with (fillfactor = 70)' when 'steps' then ' with (fillfactor = 80)' else '' end);
    call secure_partition(part::regclass);
end
$$;

create or replace function drop_partition(parent text, part text) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if parent not in ('stage_history', 'automation_runs', 'workflow_executions', 'analytics_events', 'executions', 'steps')
        or part !~ ('^' || parent || '_[0-9_]+$')
    then
        raise exception '% is no partition of a table that has them', part;
    end if;
    execute format('drop table %I', part);
end
$$;

-- Creates the partitions of this month and the next ones, after the newest that exists; returns how many. None where
-- another session holds a table for so long that those who write would have to wait.
create function ensure_execution_partitions(months_ahead integer) returns integer
    language plpgsql security invoker set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
    this_month constant timestamp := date_trunc('month', beckon_now() at time zone 'UTC');
    parent text;
    key text;
    part text;
    lowest timestamptz;
    upper timestamptz;
    has_rows boolean;
    made integer := 0;
begin
    for month in 0..months_ahead loop
        lowest := (this_month + make_interval(months => month)) at time zone 'UTC';
        upper := (this_month + make_interval(months => month + 1)) at time zone 'UTC';
        foreach parent in array array['executions', 'steps'] loop
            part := parent || '_' || to_char(lowest at time zone 'UTC', 'YYYY_MM');
            -- The first partition may hold more than its month.
            continue when exists (
                select from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = parent::regclass and c.relname >= part and c.relname <> parent || '_default');
            key := case parent when 'executions' then 'id' else 'execution_id' end;
            -- Rows that already fell into the default partition would forbid the new one: then they stay there.
            execute format('select exists (select from %I where %I >= %L and %I < %L)',
                parent || '_default', key, lowest_id_at(lowest), key, lowest_id_at(upper)) into has_rows;
            continue when has_rows;
            perform create_partition(parent, part, lowest, upper);
            made := made + 1;
        end loop;
    end loop;
    return made;
exception when lock_not_available then
    return 0;
end
$$;

-- Drops the months before, with their counts added to the automations' archived ones. Executions in flight, and those that
-- ended since `before`, move to the default partitions first. Returns months and executions; none of either where another
-- session holds a table for so long that those who write would have to wait, or reopened an old execution meanwhile.
create function drop_execution_partitions(before timestamptz) returns table (months integer, executions bigint)
    language plpgsql security invoker
    set search_path = public, pg_temp set lock_timeout = '2s' set enable_seqscan = on as $$
declare
    part record;
    counts jsonb;
    kept uuid[];
    kept_now uuid[];
    kept_executions executions[];
    kept_steps steps[];
begin
    months := 0;
    executions := 0;
    for part in
        with parts as materialized (
            select c.relname, replace(c.relname, 'executions', 'steps') as steps,
                to_date(right(c.relname, 7), 'YYYY_MM')::timestamp as month
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'executions'::regclass and c.relname <> 'executions_default'
        )
        select * from parts where (month + interval '1 month') at time zone 'UTC' <= before order by relname
    loop
        -- All rows are read before anything is locked. None of them changes but those that are kept, unless an operator
        -- reopens one.
        execute format(
            'with old as (select automation_id, status, test, id, finished_at >= $1 is not false as stays from %I) '
            'select coalesce((select jsonb_agg(a) from ( '
            '    select automation_id, count(*) as executions, count(*) filter (where status = ''succeeded'') as succeeded, '
            '        count(*) filter (where status = ''failed'') as failed, '
            '        count(*) filter (where status = ''skipped'') as skipped, '
            '        count(*) filter (where status = ''cancelled'') as cancelled '
            '    from old where not stays and not test group by automation_id) a), ''[]''), '
            'array(select id from old where stays)', part.relname)
            into counts, kept using before;
        -- Before any automation is locked: those who count hold these tables first, too.
        lock table executions, steps in access exclusive mode;
        perform set_config('enable_seqscan', 'off', true);
        execute format(
            'select array(select id from %1$I where status in (''pending'', ''running'', ''waiting'') '
            'union all select id from %1$I where finished_at >= $1)', part.relname) into kept_now using before;
        exit when exists (select unnest(kept_now) except select unnest(kept));
        select array(select e from executions e where e.id = any(kept_now)),
            array(select s from steps s where s.execution_id = any(kept_now)) into kept_executions, kept_steps;
        perform set_config('enable_seqscan', 'on', true);

        perform drop_partition('executions', part.relname);
        perform drop_partition('steps', part.steps);
        -- Into the partition itself: they are not new, and the tallies' triggers count what the whole table gets.
        insert into executions_default select * from unnest(kept_executions);
        insert into steps_default select * from unnest(kept_steps);

        perform a.id from automations a, jsonb_to_recordset(counts) as c (automation_id uuid)
            where a.id = c.automation_id order by a.id for no key update of a;
        update automations a set
            archived_executions = a.archived_executions + c.executions,
            archived_succeeded = a.archived_succeeded + c.succeeded,
            archived_failed = a.archived_failed + c.failed,
            archived_skipped = a.archived_skipped + c.skipped,
            archived_cancelled = a.archived_cancelled + c.cancelled
        from jsonb_to_recordset(counts) as c (automation_id uuid, executions bigint, succeeded bigint, failed bigint,
            skipped bigint, cancelled bigint)
        where a.id = c.automation_id;
        months := months + 1;
        executions := executions + (select coalesce(sum((c ->> 'executions')::bigint), 0) from jsonb_array_elements(counts) c);
    end loop;
    return next;
exception when lock_not_available then
    months := 0;
    executions := 0;
    return next;
end
$$;

-- As in 0028, but the moves of executions that are kept move on, too, so that they do not keep the whole month.
create or replace function drop_history_partitions(before timestamptz) returns integer
    language plpgsql security invoker set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
    part record;
    upper date;
    kept stage_history[];
    dropped integer := 0;
begin
    for part in
        select c.relname, to_date(right(c.relname, 7), 'YYYY_MM') as lowest
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'stage_history'::regclass and c.relname ~ '^stage_history_\d{4}_\d{2}$'
        order by c.relname
    loop
        upper := (part.lowest + interval '1 month')::date;
        -- Executions of a month that is not dropped yet have moves in it.
        exit when upper > before or exists (
            select from executions e where e.id < lowest_id_at(upper) and e.tableoid <> 'executions_default'::regclass);
        lock table stage_history in access exclusive mode;
        kept := array(
            select h from executions_default e join stage_history h on h.execution_id = e.id
            where h.entered_at >= part.lowest and h.entered_at < upper);
        perform drop_partition('stage_history', part.relname);
        insert into stage_history_default select * from unnest(kept);
        dropped := dropped + 1;
    end loop;
    return dropped;
exception when lock_not_available then
    return 0;
end
$$;

revoke execute on function ensure_execution_partitions(integer), drop_execution_partitions(timestamptz) from public;
grant execute on function ensure_execution_partitions(integer), drop_execution_partitions(timestamptz) to beckon_service;

do $$
declare
    bound constant uuid := (regexp_match(pg_get_constraintdef(oid), '[0-9a-f-]{36}'))[1]
        from pg_constraint where conname = 'executions_bound';
    month constant text := to_char(
        to_timestamp(('x' || left(replace(bound::text, '-', ''), 12))::bit(48)::bigint / 1000) at time zone 'UTC'
            - interval '1 month', 'YYYY_MM');
    name text;
    key text;
    part text;
    policy record;
    has_rows boolean;
begin
    foreach name in array array['executions', 'steps'] loop
        key := case name when 'executions' then 'id' else 'execution_id' end;
        part := name || '_' || month;
        call replace_table(name, part, format('partition by range (%I)', key));
        execute format('alter table %I drop constraint %I', name, name || '_bound');
        execute format('create table %I partition of %I default with (fillfactor = %s)',
            name || '_default', name, case name when 'executions' then 70 else 80 end);
        call secure_partition((name || '_default')::regclass);
        execute format('grant insert on %I to beckon_service', name || '_default');

        set local role beckon_service;
        execute format('select exists (select from %I)', part) into has_rows;
        set local role none;
        if not has_rows then
            execute format('drop table %I', part);
            continue;
        end if;
        -- The constraint spares PostgreSQL to read the table, and its indexes become those of the partitioned one.
        execute format('alter table %I attach partition %I for values from (minvalue) to (%L)', name, part, bound);
        execute format('alter table %I drop constraint %I', part, name || '_bound');
        for policy in select policyname from pg_policies where schemaname = 'public' and tablename = part loop
            execute format('drop policy %I on %I', policy.policyname, part);
        end loop;
        execute format('revoke all on %I from beckon_app, beckon_service', part);
        call secure_partition(part::regclass);
    end loop;
end
$$;
grant insert on stage_history_default to beckon_service;
select ensure_execution_partitions(1);
