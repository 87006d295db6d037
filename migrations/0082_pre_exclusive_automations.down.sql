set local lock_timeout = '10s';
alter table automations drop column exclusive;
