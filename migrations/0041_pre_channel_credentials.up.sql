-- The credentials that a workspace enters for its own accounts at providers. Each wins over the environment's setting of
-- the same name.

create table channel_credentials (
    workspace_id uuid not null references workspaces on delete cascade,
    -- The setting, such as MAILGUN_API_KEY.
    name text not null,
    -- Encrypted with SECRET_KEY.
    value text not null,
    -- The last characters of a long secret, by which people recognise it.
    hint text not null default '',
    updated_at timestamptz not null default beckon_now(),
    primary key (workspace_id, name)
);
alter table channel_credentials enable row level security, force row level security;
create policy own_workspace on channel_credentials to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on channel_credentials to beckon_service using (true) with check (true);
grant select, insert, update, delete on channel_credentials to beckon_app, beckon_service;
