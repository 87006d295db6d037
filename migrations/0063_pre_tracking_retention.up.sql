-- Only the names of partitions end with a day: the days are read before anything compares them. Otherwise PostgreSQL may
-- compare first, and read a day from the name of every table, which fails.
create or replace function drop_tracking_partitions(before timestamptz)
    returns table (days integer, executions bigint)
    language plpgsql security invoker set search_path = public, pg_temp set lock_timeout = '2s' as $$
declare
    part record;
    archived bigint;
begin
    days := 0;
    executions := 0;
    for part in
        with parts as materialized (
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
