drop view workflows;
drop table workflow_executions, analytics_events, tracked_execution_ids, tracking_intake;
drop function set_workspace_of_workflow();
drop function ensure_tracking_partitions(integer);
drop function drop_tracking_partitions(timestamptz);
create or replace function create_partition(parent text, part text, lowest timestamptz, upper timestamptz) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if parent not in ('stage_history', 'automation_runs') or part !~ ('^' || parent || '_[0-9_]+$') then
        raise exception '% is no partition of a table that has them', part;
    end if;
    execute format('create table %I partition of %I for values from (%L) to (%L)', part, parent, lowest, upper);
    call secure_partition(part::regclass);
end
$$;
create or replace function drop_partition(parent text, part text) returns void
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if parent not in ('stage_history', 'automation_runs') or part !~ ('^' || parent || '_[0-9_]+$') then
        raise exception '% is no partition of a table that has them', part;
    end if;
    execute format('drop table %I', part);
end
$$;

set local role beckon_service;
drop function store_tracked_executions(json);
set local role none;

drop function new_id();
drop function lowest_id_at(timestamptz);
