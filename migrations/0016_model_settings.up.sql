-- Which model writes a workspace's texts, where it differs from the environment's.

create table model_settings (
    workspace_id uuid primary key references workspaces on delete cascade,
    provider text check (provider in ('gemini', 'openai')),
    model text,
    max_tokens integer,
    temperature double precision,
    -- Of an OpenAI-compatible API; the environment's key is never sent there.
    base_url text,
    -- Sealed with SECRET_KEY.
    api_key text,
    updated_at timestamptz not null default beckon_now()
);
alter table model_settings enable row level security;
create policy own_workspace on model_settings to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on model_settings to beckon_service using (true) with check (true);
grant select, insert, update, delete on model_settings to beckon_app, beckon_service;
