-- Links of messages whose clicks are counted: what the token of an address /l/{token} leads to.
create table message_links (
    token text primary key,
    workspace_id uuid not null,
    message_id uuid not null references messages on delete cascade,
    position integer not null,
    url text not null,
    -- Of the first click: a message goes to one person, who counts once.
    clicked_at timestamptz
);
create index message_links_message on message_links (message_id);

alter table message_links enable row level security;
alter table message_links force row level security;
create policy own_workspace on message_links to beckon_app using (workspace_id = acting_workspace())
    with check (workspace_id = acting_workspace());
create policy whole on message_links to beckon_service using (true) with check (true);
grant select on message_links to beckon_app;
grant select, insert, update, delete on message_links to beckon_service;

-- Returns what a token leads to. A click counts if `counted` is true, once, unless the message is a test or its contact
-- is deleted. Whoever clicks has no workspace, so this runs as the service.
create function follow_message_link(wanted text, counted boolean) returns text
    language plpgsql security definer set search_path = public, pg_temp as $$
declare
    link record;
begin
    select l.url, l.message_id, l.workspace_id,
        counted and l.clicked_at is null and not m.test and c.id is not null and c.deleted_at is null as counts
        into link
    from message_links l join messages m on m.id = l.message_id left join contacts c on c.id = m.contact_id
    where l.token = wanted;
    if link.counts then
        update message_links set clicked_at = beckon_now() where token = wanted and clicked_at is null;
        insert into message_responses (message_id, kind, workspace_id)
            values (link.message_id, 'clicked', link.workspace_id) on conflict do nothing;
    end if;
    return link.url;
end
$$;
revoke execute on function follow_message_link(text, boolean) from public;
grant execute on function follow_message_link(text, boolean) to beckon_app, beckon_service;

-- A sent message with counted links, for the rate of clicks: its detail says how many links it has.
create function record_linked_message() returns trigger language plpgsql as $$
begin
    insert into message_responses (message_id, kind, workspace_id) values (new.id, 'linked', new.workspace_id)
        on conflict do nothing;
    return null;
end
$$;
create trigger record_linked_message after update on messages for each row
    when (old.sent_at is null and new.sent_at is not null and not new.test and new.detail ? 'links')
    execute function record_linked_message();

call transfer_function_ownership();
