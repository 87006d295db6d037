set local role beckon_service;
drop function default_partition_facts(integer);
set local role none;
