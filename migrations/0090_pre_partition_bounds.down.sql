alter table executions drop constraint executions_bound;
alter table steps drop constraint steps_bound;
