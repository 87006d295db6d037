set local lock_timeout = '10s';
set local role beckon_service;
drop function erase_contact_rows(uuid[], text, text, text, text[]);
set local role none;
drop function words_of(jsonb);
revoke update (detail) on audit from beckon_service;
alter table contacts drop column erased_at;
