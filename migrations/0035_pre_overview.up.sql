-- What the overview shows over time beside the history: how late work was, and when Beckon was deployed. Its counts of
-- sent messages by automation come from the index of sent moves alone.

-- One row for each minute in which an execution was late, kept for eight days: no row means that nothing was.
create table lateness_samples (
    workspace_id uuid not null references workspaces on delete cascade,
    at timestamptz not null,
    oldest_seconds integer not null,
    late integer not null,
    primary key (workspace_id, at)
);
create index lateness_samples_at on lateness_samples (at);
alter table lateness_samples enable row level security;
alter table lateness_samples force row level security;
create policy own_workspace on lateness_samples to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on lateness_samples to beckon_service using (true) with check (true);
grant select on lateness_samples to beckon_app;
grant select, insert, update, delete on lateness_samples to beckon_service;

-- A start of a scheduler with a version: of the whole installation, so it has no workspace.
create table deployments (
    id uuid primary key,
    version text not null,
    started_at timestamptz not null default beckon_now()
);
create index deployments_started on deployments (started_at desc);
grant select on deployments to beckon_app;
grant select, insert, update, delete on deployments to beckon_service;

drop index stage_history_sent;
create index stage_history_sent on stage_history (workspace_id, entered_at) include (execution_id, test, automation_id)
    where stage = 'sent';
