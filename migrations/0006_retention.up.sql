-- Months of stage history as partitions: made ahead, and dropped once none of their executions is there any more.
--
-- The service may not create or drop tables; these two functions are all it can do.

create function ensure_history_partitions(months_ahead integer) returns integer
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

create function drop_history_partitions(before timestamptz) returns integer
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

revoke execute on function ensure_history_partitions(integer), drop_history_partitions(timestamptz) from public;
grant execute on function ensure_history_partitions(integer), drop_history_partitions(timestamptz) to beckon_service;

select ensure_history_partitions(3);
