-- What an operator owns: automations, the immutable versions of their workflows, and their clocks.

create table automations (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    name text not null,
    type text not null check (
        type in ('workflow', 'comment_to_dm', 'story_reply', 'dm_responder', 'playbook', 'ai_follow_up')),
    enabled boolean not null default true,
    -- Of the published version; 0 and null while only a draft exists.
    version integer not null default 0,
    version_id uuid,
    trigger_type text,
    draft jsonb,
    hook_token_hash bytea unique,
    -- Counters of finished, real executions; moved by increment_automation_metrics alone.
    executions bigint not null default 0,
    succeeded bigint not null default 0,
    failed bigint not null default 0,
    skipped bigint not null default 0,
    cancelled bigint not null default 0,
    last_executed_at timestamptz,
    -- What retention has removed, so that counter = archived + rows.
    archived_executions bigint not null default 0,
    archived_succeeded bigint not null default 0,
    archived_failed bigint not null default 0,
    archived_skipped bigint not null default 0,
    archived_cancelled bigint not null default 0,
    total_runs bigint not null default 0,
    last_run_at timestamptz,
    paused_at timestamptz,
    created_at timestamptz not null default beckon_now(),
    updated_at timestamptz not null default beckon_now(),
    deleted_at timestamptz
) with (fillfactor = 60);  -- counters move often and in place
create index automations_workspace on automations (workspace_id, id) where deleted_at is null;
create index idx_automation_workflows_active on automations (workspace_id, trigger_type)
    where enabled and deleted_at is null;

create table workflow_versions (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    automation_id uuid not null references automations on delete cascade,
    version integer not null,
    definition jsonb not null,
    published_by text not null,
    published_at timestamptz not null default beckon_now(),
    unique (automation_id, version)
);
create index workflow_versions_workspace on workflow_versions (workspace_id);

-- When an automation with a schedule or contact.inactive trigger is due next.
create table automation_schedules (
    automation_id uuid primary key references automations on delete cascade,
    workspace_id uuid not null references workspaces on delete cascade,
    next_at timestamptz not null
);
create index automation_schedules_due on automation_schedules (next_at);
create index automation_schedules_workspace on automation_schedules (workspace_id);

-- What an operator or a configuration error holds in a workspace: a provider, or its part of a queue. (A paused
-- automation says so itself.)
create table pauses (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    kind text not null check (kind in ('provider', 'queue')),
    name text not null,
    reason text not null check (reason in ('operator', 'configuration')),
    message text not null default '',
    -- Of the credentials that were refused: other credentials end the pause.
    credentials_fingerprint text,
    retry_at timestamptz,
    created_at timestamptz not null default beckon_now(),
    unique (workspace_id, kind, name)
);

create function increment_automation_metrics(
    automation uuid, succeeded_by integer, failed_by integer, skipped_by integer, cancelled_by integer, at timestamptz
) returns void language sql as $$
    update automations set
        executions = executions + succeeded_by + failed_by + skipped_by + cancelled_by,
        succeeded = succeeded + succeeded_by,
        failed = failed + failed_by,
        skipped = skipped + skipped_by,
        cancelled = cancelled + cancelled_by,
        last_executed_at = greatest(last_executed_at, at)
    where id = automation
$$;
