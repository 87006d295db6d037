alter table executions drop column rate_limited_since;
drop index executions_turns;
