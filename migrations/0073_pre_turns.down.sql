drop index executions_turns;
