drop index executions_run_due;
drop index automation_runs_newest;
