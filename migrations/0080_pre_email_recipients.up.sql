-- Whom links in e-mail belong to: the address behind the hash that they carry, until it is erased, and the topics that
-- its owner allowed or refused, as `{"topic": true}`. It has no contact, so it outlives erasures and merges.
create table email_recipients (
    workspace_id uuid not null references workspaces on delete cascade,
    address_hash bytea not null,
    address text,
    topics jsonb not null default '{}',
    created_at timestamptz not null default beckon_now(),
    primary key (workspace_id, address_hash)
);
alter table email_recipients enable row level security, force row level security;
create policy own_workspace on email_recipients to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on email_recipients to beckon_service using (true) with check (true);
grant select, insert, update, delete on email_recipients to beckon_app, beckon_service;
