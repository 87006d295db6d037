set local lock_timeout = '10s';
set local role beckon_service;
drop function move_contact_rows(uuid, uuid, text, text);
set local role none;
alter table contacts drop column merged_into;
