drop index steps_failed;
drop index executions_retried;
