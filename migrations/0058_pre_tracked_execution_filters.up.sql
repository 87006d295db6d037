-- What the list of tracked executions is filtered and searched by, newest first, at millions of rows. Paths are compared
-- by bytes, so that a prefix is a range.
create index workflow_executions_failed on workflow_executions (workspace_id, id desc) where status <> 'success';
create index workflow_executions_by_device on workflow_executions (workspace_id, device_type, id desc);
create index workflow_executions_by_page on workflow_executions (workspace_id, page_path collate "C", id desc);
create index workflow_executions_by_session on workflow_executions (workspace_id, session_id)
    where session_id is not null;
