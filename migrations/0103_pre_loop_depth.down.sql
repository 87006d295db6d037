set local lock_timeout = '10s';
alter table triggers drop column loop_depth;
