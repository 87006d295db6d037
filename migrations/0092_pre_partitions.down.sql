-- The tables as they were, with a copy of all rows: executions and steps are locked until it ends.
set local lock_timeout = '10s';
lock table executions, steps in access exclusive mode;

do $$
declare
    upper constant timestamptz :=
        (date_trunc('month', (beckon_now() + interval '2 days') at time zone 'UTC') + interval '1 month') at time zone 'UTC';
    name text;
begin
    foreach name in array array['executions', 'steps'] loop
        call replace_table(name, name || '_partitioned',
            format('with (fillfactor = %s)', case name when 'executions' then 70 else 80 end));
        execute format('alter table %I disable trigger user', name);
        set local role beckon_service;
        execute format('insert into %I select * from %I', name, name || '_partitioned');
        set local role none;
        execute format('alter table %I enable trigger user', name);
        execute format('drop table %I', name || '_partitioned');
        execute format('alter table %I add constraint %I check (%I < %L)',
            name, name || '_bound', case name when 'executions' then 'id' else 'execution_id' end, lowest_id_at(upper));
    end loop;
end
$$;
drop procedure replace_table(text, text, text);
drop function ensure_execution_partitions(integer), drop_execution_partitions(timestamptz);
revoke insert on stage_history_default from beckon_service;

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
