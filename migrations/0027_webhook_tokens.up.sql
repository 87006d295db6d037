-- Mailgun signs a timestamp and a token, not the body: each token opens one door for one body, once.

create table webhook_tokens (
    token_hash bytea primary key,
    door text not null,
    body_hash bytea not null,
    -- Real time: a signature ages by the real clock, not by beckon_now().
    received_at timestamptz not null default now()
);
create index webhook_tokens_received on webhook_tokens (received_at);

-- A token names no workspace: the door compares and writes it, only the service removes it.
alter table webhook_tokens enable row level security;
create policy compared on webhook_tokens for select to beckon_app using (true);
create policy consumed on webhook_tokens for insert to beckon_app with check (true);
create policy whole on webhook_tokens to beckon_service using (true) with check (true);
grant select, insert on webhook_tokens to beckon_app;
grant select, insert, update, delete on webhook_tokens to beckon_service;
