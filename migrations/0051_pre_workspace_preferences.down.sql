drop index audit_object;
alter table workspaces
    drop column sender_name, drop column sender_address, drop column postal_address, drop column help_text,
    drop column when_unknown, drop column keep_days;
