-- The lists and the numbers above every page stay quick at millions of executions.
--
-- A record moves an execution's status, and with it every entry of an index that names the status; what is added here
-- covers rows at rest, errors, tests and reviews alone, or widens an entry that is written anyhow.

-- The numbers above every page are counted from this index alone.
drop index executions_at_rest;
create index executions_at_rest on executions (workspace_id, status, id desc)
    include (test, error_class, skipped_rule, due_at, created_at, finished_at)
    where status in ('waiting', 'failed', 'skipped', 'cancelled');
create index executions_errors on executions (workspace_id, error_class, id desc) include (status, test)
    where error_class is not null;
create index executions_to_review on executions (workspace_id, id desc)
    where status = 'waiting' and waiting_for = 'review';
create index executions_tests on executions (workspace_id, id desc) where test;
create index stage_history_sent on stage_history (workspace_id, entered_at) include (execution_id, test)
    where stage = 'sent';

-- The ids of at most `most` contacts of the acting workspace (null: of all) with words of their names and addresses, or
-- this e-mail or phone number; the same one may be there twice. As with find_contacts, row security would keep the
-- words' index from the role that it binds.
create function find_matching_contacts(words tsquery, given text, most integer) returns setof uuid
    language plpgsql stable security definer set search_path = public, pg_temp as $$
begin
    return query execute 'select id from contacts where workspace_id = $1 and search @@ $2 '
        'union all select id from contacts where workspace_id = $1 and email = lower($3) and deleted_at is null '
        'union all select id from contacts where workspace_id = $1 and phone = $3 and deleted_at is null limit $4'
        using acting_workspace(), words, given, most;
end
$$;
revoke execute on function find_matching_contacts(tsquery, text, integer) from public;
grant execute on function find_matching_contacts(tsquery, text, integer) to beckon_app, beckon_service;
