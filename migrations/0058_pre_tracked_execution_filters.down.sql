drop index workflow_executions_failed, workflow_executions_by_device, workflow_executions_by_page,
    workflow_executions_by_session;
