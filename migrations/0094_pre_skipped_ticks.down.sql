alter table automation_schedules
    drop column skipped_ticks,
    drop column skipped_from,
    drop column skipped_until;
