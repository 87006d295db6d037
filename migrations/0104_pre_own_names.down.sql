set local lock_timeout = '10s';
alter table accounts drop column username, drop column scoped_id;
