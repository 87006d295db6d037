-- A word of a contact is recorded with the reason "stopped", and lifted by another word of theirs. Topics of e-mail are
-- suppressed for an address one by one.

-- Recipients undo and opt in themselves; the audit log names them.
alter table audit drop constraint audit_actor_kind_check, add constraint audit_actor_kind_check check (
    actor_kind in ('user', 'api_key', 'command', 'system', 'contact')) not valid;
alter table audit validate constraint audit_actor_kind_check;

-- The workspace of a person who opts out after their contact was deleted.
create index contacts_deleted_by_phone on contacts (phone, workspace_id)
    where deleted_at is not null and phone is not null;

-- On these channels only words unsubscribe.
set local role beckon_service;
delete from suppressed_addresses a using suppressed_addresses b
where a.reason = 'unsubscribed' and a.channel in ('sms', 'facebook', 'instagram') and b.reason = 'stopped'
    and b.workspace_id = a.workspace_id and b.channel = a.channel
    and (b.address = a.address or b.address_hash = a.address_hash);
update suppressed_addresses set reason = 'stopped'
where reason = 'unsubscribed' and channel in ('sms', 'facebook', 'instagram');
update suppressions set reason = 'stopped'
where reason = 'unsubscribed' and channel in ('sms', 'facebook', 'instagram');
set local role none;

-- The address stands in email_recipients, until it is erased.
create table suppressed_topics (
    id uuid primary key,
    workspace_id uuid not null references workspaces on delete cascade,
    address_hash bytea not null,
    topic text not null,
    reason text not null check (
        reason in ('bounced', 'complained', 'unsubscribed', 'stopped', 'blocked', 'operator')),
    created_at timestamptz not null default beckon_now()
);
create unique index suppressed_topics_by_hash on suppressed_topics (workspace_id, address_hash, topic, reason);
create index suppressed_topics_newest on suppressed_topics (workspace_id, id desc);
alter table suppressed_topics enable row level security, force row level security;
create policy own_workspace on suppressed_topics to beckon_app
    using (workspace_id = acting_workspace()) with check (workspace_id = acting_workspace());
create policy whole on suppressed_topics to beckon_service using (true) with check (true);
grant select, insert, update, delete on suppressed_topics to beckon_app, beckon_service;

-- What recipients refused before.
set local role beckon_service;
insert into suppressed_topics (id, workspace_id, address_hash, topic, reason, created_at)
select (lpad(to_hex((extract(epoch from r.created_at) * 1000)::bigint), 12, '0')
        || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid,
    r.workspace_id, r.address_hash, t.key, 'unsubscribed', r.created_at
from email_recipients r cross join lateral jsonb_each(r.topics) t
where t.value = 'false'::jsonb;
set local role none;
