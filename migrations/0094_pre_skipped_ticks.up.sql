-- The ticks of a schedule that came too late and were skipped, the last time that this happened.
alter table automation_schedules
    add column skipped_ticks integer,
    add column skipped_from timestamptz,
    add column skipped_until timestamptz;
