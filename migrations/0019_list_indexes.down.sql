drop function find_matching_contacts(tsquery, text, integer);
drop index stage_history_sent, executions_tests, executions_to_review, executions_errors, executions_at_rest;
create index executions_at_rest on executions (workspace_id, status, id desc)
    where status in ('waiting', 'failed', 'skipped', 'cancelled');
