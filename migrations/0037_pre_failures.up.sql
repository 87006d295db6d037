-- Failures are grouped by error class, provider and code; bulk actions run in batches that survive the death of a
-- process; every look-up of an unknown outcome is kept; and an automation may turn its automatic retries off.

-- The provider of the current error, or the one that the execution waits for.
alter table executions add column provider text;
-- Everything that the page Failures lists, and nothing else: its counts are read from this index alone.
create index executions_failures on executions (workspace_id, error_class, provider, error_code, id desc)
    include (status, stage, waiting_for, test, automation_id, stage_since, due_at, attempt)
    where status = 'failed'
        or status = 'waiting' and (stage = 'failed' or waiting_for in ('configuration', 'rate_limit'));

alter table automations add column automatic_retries boolean not null default true;

-- Every look-up at the provider: [{"at", "asked", "found"}]; `found` is null where the provider did not answer.
alter table messages add column look_up_log jsonb not null default '[]';
-- When an operator's look-up is due; it leaves the schedule, `look_up_at`, as it is.
alter table messages add column look_up_requested_at timestamptz;
create index messages_look_up_requested on messages (look_up_requested_at) where look_up_requested_at is not null;

alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
    check (kind in ('retry', 'cancel', 'discard', 'sent', 'resend', 'look_up'));
alter table operations
    add column version text check (version in ('original', 'current')),
    add column actor_kind text not null default 'system' check (actor_kind in ('user', 'api_key', 'command', 'system')),
    add column actor_id uuid,
    -- `conflicts` holds the first of them only.
    add column conflict_count integer not null default 0,
    add column progressed_at timestamptz not null default beckon_now();
create index operations_running on operations (progressed_at) where status = 'running';

-- What a running operation has still to move: the executions that matched when it started. Each batch deletes its rows
-- in the transaction that moves them, so that a repeated batch finds nothing.
create table operation_executions (
    operation_id uuid not null references operations on delete cascade,
    execution_id uuid not null,
    workspace_id uuid not null references workspaces on delete cascade,
    primary key (operation_id, execution_id)
);
create index operation_executions_workspace on operation_executions (workspace_id);
alter table operation_executions enable row level security, force row level security;
create policy own_workspace on operation_executions to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on operation_executions to beckon_service using (true) with check (true);
grant select, insert, update, delete on operation_executions to beckon_app, beckon_service;

-- The provider of what has failed before: its message names it.
set local role beckon_service;
update executions e set provider = m.provider from messages m
where m.execution_id = e.id and m.step_id = e.failed_step and m.round = e.round
    and (e.status = 'failed' or e.status = 'waiting' and e.error_class is not null);
set local role none;
