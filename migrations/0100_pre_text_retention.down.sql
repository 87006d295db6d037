set local lock_timeout = '10s';
drop index received_messages_with_text;
alter table received_messages drop column text_length, drop column text_hash;
alter table messages drop column body_length, drop column body_hash;
alter table workspaces drop column keep_text_days, drop column texts_removed_until;
