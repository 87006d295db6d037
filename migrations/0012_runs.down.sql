drop function drop_run_partitions(timestamptz), ensure_run_partitions(integer), rebuild_run_counters(),
    count_due_runs(integer),
    increment_automation_metrics(uuid, integer, integer, integer, integer, timestamptz, integer, timestamptz);
create function increment_automation_metrics(
    automation uuid, succeeded_by integer, failed_by integer, skipped_by integer, cancelled_by integer, at timestamptz
) returns void language sql as $$
    update automations set
        executions = executions + succeeded_by + failed_by + skipped_by + cancelled_by,
        succeeded = succeeded + succeeded_by,
        failed = failed + failed_by,
        skipped = skipped + skipped_by,
        cancelled = cancelled + cancelled_by,
        last_executed_at = greatest(last_executed_at, at)
    where id = automation
$$;
drop function hours_until(integer[], bigint, bigint), add_to_hours(integer[], bigint, bigint, integer),
    hour_of(timestamptz);
alter table executions drop column run_due_at, drop column run_kind;
alter table automations drop column newest_run_hour, drop column hourly_runs, drop column archived_runs;
update automations set total_runs = 0, last_run_at = null;
drop table run_windows, automation_runs;
alter table workspaces drop column execution_tracking, drop column stats_in_api, drop column run_tracking;
