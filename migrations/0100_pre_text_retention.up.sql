-- Texts of messages are kept for a time of their own, then their length and their hash alone.
set local lock_timeout = '10s';
alter table workspaces
    add column keep_text_days integer check (keep_text_days between 7 and 90),
    -- Up to which end of an execution the texts are removed.
    add column texts_removed_until timestamptz;
alter table messages add column body_length integer, add column body_hash bytea;
alter table received_messages add column text_length integer, add column text_hash bytea;
create index received_messages_with_text on received_messages (workspace_id, at) where text is not null;
