drop table contact_import_batches;

set local role beckon_service;
-- The earlier version does not know this kind.
delete from operations where kind = 'import';
set local role none;
alter table operations drop column counts;
alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
    check (kind in ('retry', 'cancel', 'discard', 'sent', 'resend', 'look_up'));
