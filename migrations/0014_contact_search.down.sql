drop function find_contacts(text, uuid, tsquery, text, text, uuid, uuid, integer);
drop index contacts_tags;
drop index contacts_email;
create unique index contacts_email on contacts (workspace_id, lower(email)) where deleted_at is null;
