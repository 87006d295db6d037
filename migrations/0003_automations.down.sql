drop function increment_automation_metrics(uuid, integer, integer, integer, integer, timestamptz);
drop table pauses, automation_schedules, workflow_versions, automations;
