drop function engine_facts();
drop function newest_migration();
