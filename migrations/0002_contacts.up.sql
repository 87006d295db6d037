-- Whom we write to, and where we must not.

create table contacts (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    external_id text,
    first_name text,
    last_name text,
    username text,
    email text,
    phone text,
    facebook_id text,
    instagram_id text,
    timezone text,
    tags text[] not null default '{}',
    attributes jsonb not null default '{}',
    -- Moved at most once an hour: it answers "no event for N days", not "when exactly".
    last_event_at timestamptz,
    created_at timestamptz not null default beckon_now(),
    updated_at timestamptz not null default beckon_now(),
    deleted_at timestamptz,
    search tsvector generated always as (
        to_tsvector('simple', coalesce(first_name, '') || ' ' || coalesce(last_name, '') || ' ' ||
            coalesce(username, '') || ' ' || coalesce(email, '') || ' ' || coalesce(external_id, ''))
    ) stored
);
-- An address or an outside id belongs to one contact of a workspace.
create unique index contacts_external_id on contacts (workspace_id, external_id) where deleted_at is null;
create unique index contacts_email on contacts (workspace_id, lower(email)) where deleted_at is null;
create unique index contacts_phone on contacts (workspace_id, phone) where deleted_at is null;
create unique index contacts_facebook_id on contacts (workspace_id, facebook_id) where deleted_at is null;
create unique index contacts_instagram_id on contacts (workspace_id, instagram_id) where deleted_at is null;
create index contacts_newest on contacts (workspace_id, id desc) where deleted_at is null;
create index contacts_search on contacts using gin (search);

create table suppressions (
    workspace_id uuid not null references workspaces on delete cascade,
    contact_id uuid not null references contacts on delete cascade,
    channel text not null,
    address text,
    reason text not null check (reason in ('bounced', 'complained', 'unsubscribed', 'blocked', 'operator')),
    created_at timestamptz not null default beckon_now(),
    -- The workspace first: no tenant can stand in the way of another's suppression.
    primary key (workspace_id, contact_id, channel)
);

-- What the action create_task leaves for a person to do.
create table contact_tasks (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    contact_id uuid references contacts on delete cascade,
    execution_id uuid not null,
    step_id text not null,
    title text not null,
    assignee text,
    due_at timestamptz,
    done_at timestamptz,
    created_at timestamptz not null default beckon_now()
);
create index contact_tasks_workspace on contact_tasks (workspace_id, id desc);
create index contact_tasks_contact on contact_tasks (contact_id);
