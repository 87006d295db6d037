set local role beckon_service;
drop function pause_facts();
-- They wait for a time instead, which is now.
update executions set waiting_for = 'time', due_at = beckon_now() where waiting_for = 'provider';
set local role none;
create function pause_facts() returns table (kind text, name text, reason text, workspaces bigint)
    language sql stable security definer set search_path = public, pg_temp as
    $$ select kind, name, reason, count(*) from pauses group by kind, name, reason $$;
revoke execute on function pause_facts() from public;
grant execute on function pause_facts() to beckon_app, beckon_service;

drop index executions_awaiting_provider;
alter table executions drop constraint executions_waiting_for_check,
    add constraint executions_waiting_for_check check (waiting_for in (
        'time', 'window', 'event', 'follow_up', 'retry', 'rate_limit', 'review', 'pause', 'configuration'));
drop table provider_breakers;

call transfer_function_ownership();
