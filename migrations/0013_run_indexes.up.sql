-- What runs are asked by: an automation's, by time, newest first; and executions whose run is still to be counted.

-- The workspace first: row security asks for it, and with it in the index counting needs no row.
create index automation_runs_newest on automation_runs (workspace_id, automation_id, at desc, id desc) include (kind);
create index executions_run_due on executions (run_due_at) where run_due_at is not null;
