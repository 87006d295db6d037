create unique index contacts_external_id on contacts (workspace_id, external_id) where deleted_at is null;
create unique index contacts_email on contacts (workspace_id, email) where deleted_at is null;
create unique index contacts_phone on contacts (workspace_id, phone) where deleted_at is null;
create unique index contacts_facebook_id on contacts (workspace_id, facebook_id) where deleted_at is null;
create unique index contacts_instagram_id on contacts (workspace_id, instagram_id) where deleted_at is null;
create index contacts_newest on contacts (workspace_id, id desc) where deleted_at is null;
drop index contacts_by_external_id, contacts_by_email, contacts_by_phone, contacts_by_facebook_id,
    contacts_by_instagram_id, contacts_listed;
