-- A word of a contact is recorded with the reason "stopped", and lifted by another word of theirs.

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
