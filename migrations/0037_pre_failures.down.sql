drop table operation_executions;

drop index operations_running;
set local role beckon_service;
-- The earlier version knows no other kinds, and finishes no operation.
delete from operations where kind in ('sent', 'resend', 'look_up');
update operations set status = 'finished', finished_at = beckon_now() where status = 'running';
set local role none;
alter table operations
    drop column version, drop column actor_kind, drop column actor_id, drop column conflict_count,
    drop column progressed_at;
alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check check (kind in ('retry', 'cancel', 'discard'));

drop index messages_look_up_requested;
alter table messages drop column look_up_requested_at, drop column look_up_log;
alter table automations drop column automatic_retries;
drop index executions_failures;
alter table executions drop column provider;
