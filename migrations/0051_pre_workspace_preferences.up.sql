-- What owners set for their workspace: who its e-mail comes from, what to do about unknown outcomes, how long it keeps
-- its history. Null takes Beckon's default.

alter table workspaces
    add column sender_name text,
    add column sender_address text,
    add column postal_address text,
    add column help_text text,
    add column when_unknown text check (when_unknown in ('hold', 'resend')),
    add column keep_days integer check (keep_days between 7 and 90);

-- The history of one object in the audit log.
create index audit_object on audit (workspace_id, object_kind, object_id, id desc);
