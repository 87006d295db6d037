-- Providers that refuse to be asked about a workspace's messages, as a key does that may send and not read. A row exists
-- from the first refusal to the next answer; Health shows it while the credentials are the same.

create table look_up_refusals (
    workspace_id uuid not null references workspaces on delete cascade,
    provider text not null,
    message text not null,
    credentials_fingerprint text not null,
    refused_at timestamptz not null default beckon_now(),
    primary key (workspace_id, provider)
);
alter table look_up_refusals enable row level security, force row level security;
create policy own_workspace on look_up_refusals to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on look_up_refusals to beckon_service using (true) with check (true);
grant select, insert, update, delete on look_up_refusals to beckon_app, beckon_service;
