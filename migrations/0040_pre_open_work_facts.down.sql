set local role beckon_service;
drop function open_work_facts(), pause_facts();
set local role none;
