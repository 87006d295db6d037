drop index executions_held;
