-- What happened: triggers, executions with their steps, stages and messages, and what guards them.
--
-- The tables that the engine writes for every execution carry no foreign keys to each other: a check on every row
-- would cost more than it protects, because rows are only written under a fence and `beckon verify` looks at the whole.

create table triggers (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    type text not null,
    source text not null check (source in ('api', 'redis', 'command', 'test', 'hook', 'schedule', 'webhook')),
    contact_id uuid,
    payload jsonb not null default '{}',
    test boolean not null default false,
    idempotency_key text,
    -- What the producer was answered, so that a repeat of the key gets the same.
    answer jsonb not null,
    created_at timestamptz not null default beckon_now()
);
create index triggers_workspace on triggers (workspace_id, id desc);
create index triggers_created on triggers (created_at);

-- Small and unpartitioned, because PostgreSQL has no unique key across time partitions. Kept for 24 hours.
create table idempotency_keys (
    workspace_id uuid not null references workspaces on delete cascade,
    key text not null,
    body_hash bytea not null,
    trigger_id uuid not null,
    created_at timestamptz not null default beckon_now(),
    primary key (workspace_id, key)
);
create index idempotency_keys_created on idempotency_keys (created_at);

create table executions (
    id uuid primary key,
    workspace_id uuid not null,
    automation_id uuid not null references automations,
    version_id uuid not null,
    version integer not null,
    trigger_id uuid not null,
    contact_id uuid,
    test boolean not null default false,

    status text not null default 'pending' check (
        status in ('pending', 'running', 'waiting', 'succeeded', 'failed', 'skipped', 'cancelled')),
    stage text not null default 'queued' check (
        stage in ('queued', 'checking', 'eligible', 'generating', 'ready_to_send', 'sending', 'sent', 'completed',
                  'failed', 'skipped')),
    stage_since timestamptz not null,
    -- The queue of the next outside call, on which the bell is rung.
    queue text not null check (queue in ('executions', 'generation', 'sending')),
    -- When the bell was last rung; the sweep rings it again when it was lost.
    rung_at timestamptz not null,
    -- When it goes on by itself.
    due_at timestamptz,
    waiting_for text check (
        waiting_for in ('time', 'window', 'event', 'retry', 'rate_limit', 'review', 'pause', 'configuration')),
    wait_event text,
    event_at timestamptz,

    lease_owner text,
    lease_until timestamptz,
    -- Grows with every claim: a write with an older fence changes nothing.
    fence integer not null default 0,
    -- Claims since a stage or a step was last recorded.
    deliveries integer not null default 0,
    attempt integer not null default 1,

    -- Where a failed execution goes on when it is retried.
    resume_stage text,
    failed_step text,
    error_class text,
    error_message text,
    error_code text,
    next_retry_at timestamptz,
    misconfigured_since timestamptz,
    skipped_rule text,
    skipped_detail jsonb,

    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz,
    execution_time_ms bigint,

    constraint lease_goes_with_running check ((status = 'running') = (lease_until is not null)),
    constraint finished_is_dated check (
        (status in ('succeeded', 'failed', 'skipped', 'cancelled')) = (finished_at is not null)),
    constraint nothing_is_stuck check (
        status not in ('pending', 'waiting') or due_at is not null or waiting_for in ('event', 'review', 'pause')),
    constraint failed_says_why check (status <> 'failed' or error_class is not null),
    constraint skipped_says_why check (status not in ('skipped', 'cancelled') or skipped_rule is not null)
) with (fillfactor = 70);

-- Ids grow with time, so the newest come first by id alone and a page never needs a sort.
create index executions_newest on executions (workspace_id, id desc);
create index executions_automation on executions (automation_id, id desc);
create index executions_contact on executions (contact_id, id desc);
create index executions_at_rest on executions (workspace_id, status, id desc)
    where status in ('waiting', 'failed', 'skipped', 'cancelled');
create index idx_automation_execution_logs_pending on executions (due_at)
    where status in ('pending', 'waiting') and due_at is not null;
create index executions_leases on executions (lease_until) where status = 'running';
create index executions_awaiting_event on executions (contact_id, wait_event)
    where status = 'waiting' and wait_event is not null;
create index executions_finished on executions (finished_at) where finished_at is not null;

create table steps (
    execution_id uuid not null,
    step_id text not null,
    -- 0 for the first passage, n for follow-up n.
    round integer not null default 0,
    workspace_id uuid not null,
    action text not null,
    status text not null check (status in ('pending', 'running', 'succeeded', 'failed', 'skipped')),
    attempts integer not null default 0,
    started_at timestamptz,
    finished_at timestamptz,
    execution_time_ms bigint,
    output jsonb,
    error jsonb,
    -- Every failed try: [{"at", "class", "message", "code"}].
    failures jsonb not null default '[]',
    primary key (execution_id, step_id, round)
) with (fillfactor = 80);

-- One row for each move. The stage that was left and how long it lasted stand on the row of the move, so that an
-- average over a day is one scan of one index. "queued" has no row of its own: it began with the execution.
create table stage_history (
    execution_id uuid not null,
    workspace_id uuid not null,
    automation_id uuid not null,
    test boolean not null,
    from_stage text not null,
    from_ms bigint not null,
    stage text not null,
    entered_at timestamptz not null
) partition by range (entered_at);
create index stage_history_execution on stage_history (execution_id, entered_at);
create index stage_history_automation on stage_history (automation_id, entered_at);
create table stage_history_default partition of stage_history default;

create table messages (
    id uuid primary key,
    workspace_id uuid not null,
    execution_id uuid not null,
    automation_id uuid not null,
    contact_id uuid,
    step_id text not null,
    round integer not null default 0,
    -- Our unique key: execution, step and round. Given to the provider where it takes one.
    key text not null unique,
    channel text not null,
    provider text not null,
    sandbox boolean not null,
    test boolean not null,
    to_address text not null,
    sender text,
    subject text,
    body text not null,
    format text not null default 'text',
    status text not null check (
        status in ('pending', 'review', 'sending', 'sent', 'delivered', 'read', 'bounced', 'complained', 'failed',
                   'outcome_unknown', 'discarded')),
    provider_message_id text,
    generation_ms bigint,
    -- How often a lost answer was looked up at the provider, and when next.
    look_ups integer not null default 0,
    look_up_at timestamptz,
    resends integer not null default 0,
    error_class text,
    error_message text,
    send_at timestamptz,
    sending_at timestamptz,
    sent_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
) with (fillfactor = 70);
create index messages_execution on messages (execution_id);
create index messages_provider_id on messages (provider, provider_message_id) where provider_message_id is not null;
create index messages_contact on messages (contact_id, sent_at) where sent_at is not null;
create index messages_unknown on messages (workspace_id, id desc) where status = 'outcome_unknown';
create index messages_look_up on messages (look_up_at) where look_up_at is not null;

-- A day's rounds that send, by automation and by contact in it. The nil uuid stands for "all contacts".
create table limit_counts (
    workspace_id uuid not null,
    automation_id uuid not null,
    contact_id uuid not null,
    day date not null,
    count integer not null check (count >= 0),
    primary key (automation_id, contact_id, day)
);

-- Which round of which execution holds a place under a daily limit: a second reservation of it counts nothing.
create table limit_reservations (
    execution_id uuid not null,
    round integer not null,
    workspace_id uuid not null,
    automation_id uuid not null,
    contact_id uuid not null,
    day date not null,
    primary key (execution_id, round)
);
create index limit_reservations_day on limit_reservations (day);

-- What providers told us, raw, once for each of their event ids.
create table inbound_events (
    id uuid primary key,
    provider text not null,
    event_id text not null,
    -- Known at once on a workspace's own path, else found by the message.
    workspace_id uuid,
    body jsonb not null,
    received_at timestamptz not null default beckon_now(),
    processed_at timestamptz,
    outcome text,
    unique (provider, event_id)
);
create index inbound_events_waiting on inbound_events (received_at) where processed_at is null;

-- Bulk actions of operators.
create table operations (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    kind text not null check (kind in ('retry', 'cancel', 'discard')),
    filters jsonb not null,
    status text not null check (status in ('running', 'finished')),
    matched integer not null,
    done integer not null default 0,
    conflicts jsonb not null default '[]',
    actor_name text not null,
    created_at timestamptz not null default beckon_now(),
    finished_at timestamptz
);
create index operations_workspace on operations (workspace_id, id desc);

-- The scheduler's duties, when each last succeeded and what it counted; and who leads.
create table duties (
    name text primary key,
    last_succeeded_at timestamptz,
    last_failed_at timestamptz,
    last_error text,
    counts jsonb not null default '{}'
);
create table leadership (
    one boolean primary key default true check (one),
    host text not null,
    pid integer not null,
    since timestamptz not null,
    seen_at timestamptz not null
);
