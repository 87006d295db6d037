-- Direct messages: how each goes, and the one private reply that a comment takes.

-- What a channel of its own knows of a message: of a direct message its way, buttons, quick replies, the length that was
-- cut, and the moment that was booked for it.
alter table messages add column detail jsonb;

-- Which message has the one private reply of a comment: whoever is first here sends.
create table private_replies (
    workspace_id uuid not null references workspaces on delete cascade,
    channel text not null check (channel in ('facebook', 'instagram')),
    comment_id text not null,
    message_key text not null,
    created_at timestamptz not null default beckon_now(),
    primary key (workspace_id, channel, comment_id)
);
create index private_replies_at on private_replies (created_at);

alter table private_replies enable row level security;
create policy own_workspace on private_replies to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on private_replies to beckon_service using (true) with check (true);
grant select, insert, update, delete on private_replies to beckon_app, beckon_service;
