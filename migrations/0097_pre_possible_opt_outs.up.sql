-- What contacts write that may be an opt-out, for an operator to judge; and our answers to HELP.

create table possible_opt_outs (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    contact_id uuid not null references contacts on delete cascade,
    channel text not null,
    -- Has the text. Retention, and the deletion of the contact, remove it.
    received_message_id uuid references received_messages on delete set null,
    created_at timestamptz not null default beckon_now(),
    resolved_as text check (resolved_as in ('suppress', 'dismiss')),
    resolved_at timestamptz,
    resolved_by text,
    constraint possible_opt_outs_resolved check ((resolved_as is null) = (resolved_at is null))
);
create unique index possible_opt_outs_message on possible_opt_outs (received_message_id);
create index possible_opt_outs_newest on possible_opt_outs (workspace_id, id desc);
create index possible_opt_outs_open on possible_opt_outs (workspace_id, id desc) where resolved_at is null;
create index possible_opt_outs_contact on possible_opt_outs (contact_id);

create table help_replies (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    -- Null once the reply is sent or has failed.
    to_address text,
    address_hash bytea,
    -- The number that received HELP.
    sender text,
    body text not null,
    -- The sandbox brought the request, and gets the reply.
    sandbox boolean not null default false,
    status text not null default 'pending' check (status in ('pending', 'sending', 'sent', 'failed')),
    error text,
    created_at timestamptz not null default beckon_now()
);
create index help_replies_pending on help_replies (created_at) where status = 'pending';
create index help_replies_recipient on help_replies (workspace_id, address_hash, created_at);

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array['possible_opt_outs', 'help_replies'] loop
        execute format('alter table %I enable row level security, force row level security', tenant_table);
        execute format('create policy own_workspace on %I to beckon_app using (workspace_id = acting_workspace()) '
            'with check (workspace_id = acting_workspace())', tenant_table);
        execute format('create policy whole on %I to beckon_service using (true) with check (true)', tenant_table);
        execute format('grant select, insert, update, delete on %I to beckon_app, beckon_service', tenant_table);
    end loop;
end
$$;
