-- Who we are on Meta's channels, and what contacts write to us.

-- A Page or an Instagram account. Meta's webhooks name it, and so it names the workspace.
create table accounts (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    channel text not null check (channel in ('facebook', 'instagram')),
    -- The Page's id or the Instagram account's, as Meta writes it.
    external_id text not null,
    name text not null default '',
    -- Its own access token, encrypted; without one it speaks with the environment's.
    access_token text,
    created_at timestamptz not null default beckon_now(),
    unique (channel, external_id)
);
create index accounts_workspace on accounts (workspace_id, channel, id);

-- One row for each contact and channel: small, so that asking whether we may answer costs one look.
create table conversations (
    contact_id uuid not null references contacts on delete cascade,
    channel text not null,
    workspace_id uuid not null references workspaces on delete cascade,
    -- To which of our accounts the contact wrote last: their id is known to that one alone.
    account_id uuid references accounts on delete set null,
    last_received_at timestamptz not null,
    -- The workspace last, so that a contact's id finds its rows; within it, so that no tenant stands in another's way.
    primary key (contact_id, channel, workspace_id)
);
create index conversations_workspace on conversations (workspace_id);
create index conversations_account on conversations (account_id);

create table received_messages (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    contact_id uuid not null references contacts on delete cascade,
    channel text not null,
    provider_message_id text not null,
    kind text not null check (
        kind in ('message', 'story_reply', 'story_mention', 'comment', 'postback', 'reaction')),
    text text,
    at timestamptz not null,
    edited_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null default beckon_now(),
    unique (workspace_id, channel, provider_message_id)
);
create index received_messages_contact on received_messages (contact_id, at desc);
create index received_messages_at on received_messages (at);

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array['accounts', 'conversations', 'received_messages'] loop
        execute format('alter table %I enable row level security', tenant_table);
        execute format(
            'create policy own_workspace on %I to beckon_app using (workspace_id = acting_workspace()) '
            'with check (workspace_id = acting_workspace())', tenant_table);
        execute format('create policy whole on %I to beckon_service using (true) with check (true)', tenant_table);
        execute format('grant select, insert, update, delete on %I to beckon_app, beckon_service', tenant_table);
    end loop;
end
$$;
