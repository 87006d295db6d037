drop table suppressed_topics;
drop index contacts_deleted_by_phone;

-- Nobody may change the audit log otherwise.
grant update on audit to beckon_service;
set local role beckon_service;
update audit set actor_kind = 'system' where actor_kind = 'contact';
set local role none;
revoke update on audit from beckon_service;
alter table audit drop constraint audit_actor_kind_check, add constraint audit_actor_kind_check check (
    actor_kind in ('user', 'api_key', 'command', 'system'));
