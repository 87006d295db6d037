-- The statistics of retries read what was retried, and not every execution of a month.
create index executions_retried on executions (workspace_id, id desc) include (status, attempt, test, created_at)
    where attempt > 1;
create index steps_failed on steps (workspace_id, started_at) where failures <> '[]';
