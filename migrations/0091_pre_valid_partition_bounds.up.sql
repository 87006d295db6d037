-- Reads both tables once, while programs read and write them.
alter table executions validate constraint executions_bound;
alter table steps validate constraint steps_bound;
