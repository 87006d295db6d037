drop index stage_history_sent;
create index stage_history_sent on stage_history (workspace_id, entered_at) include (execution_id, test)
    where stage = 'sent';
drop table deployments, lateness_samples;
